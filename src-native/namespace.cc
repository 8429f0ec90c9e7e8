#include <errno.h>
#include <fcntl.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "arguments.h"
#include "environment.h"
#include "functions.h"

namespace netkit {

namespace {

constexpr char kOwnNamespace[] = "/proc/thread-self/ns/net";

int OpenNamespace(const char* path, Descriptor& result) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return -errno;
  result.Reset(fd);
  return 0;
}

// It enters no namespace that there is: it makes one, on a thread of its own all the same.
class CreateNamespaceJob : public DescriptorJob {
 public:
  void Run() override { Answer(unshare(CLONE_NEWNET) == 0 ? open(kOwnNamespace, O_RDONLY | O_CLOEXEC) : -1); }
};

}  // namespace

napi_value CreateNamespace(napi_env env, napi_callback_info info) {
  Arguments<0> arguments(env, info);
  return arguments.environment().SubmitApart(new CreateNamespaceJob());
}

napi_value RunInside(napi_env env, napi_callback_info info) {
  Arguments<2> arguments(env, info);
  int ns = arguments.Integer(0);
  napi_value function = arguments.Function(1);
  if (!arguments.ok()) return nullptr;
  Environment& environment = arguments.environment();
  int error = environment.StartThreadPool();
  if (error != 0) return Number(env, error);

  // Asked for each time: a cached descriptor could have been closed, and a nested call returns to the call around it.
  Descriptor previous;
  error = OpenNamespace(kOwnNamespace, previous);
  if (error != 0) return Number(env, error);
  Descriptor home;
  if (ns < 0) {
    // The work thread has never left the namespace that the environment started in.
    error = OpenNamespace(environment.namespace_path(), home);
    if (error != 0) return Number(env, error);
    ns = home.get();
  }
  // Entering where the thread already is needs the same rights as coming back will: better an error now.
  if (setns(previous.get(), CLONE_NEWNET) != 0) return Number(env, -errno);
  if (setns(ns, CLONE_NEWNET) != 0) return Number(env, -errno);

  napi_value receiver = nullptr;
  napi_get_undefined(env, &receiver);
  napi_status status = napi_call_function(env, receiver, function, 0, nullptr, nullptr);

  if (setns(previous.get(), CLONE_NEWNET) != 0) {
    fprintf(stderr, "netkit: the thread cannot leave a network namespace: %s\n", strerror(errno));
    abort();
  }
  // What the function threw is still pending, and goes on to the caller.
  return status == napi_ok ? Number(env, 0) : nullptr;
}

napi_value NamespaceType(napi_env env, napi_callback_info info) {
  Arguments<1> arguments(env, info);
  int fd = arguments.Integer(0);
  if (!arguments.ok()) return nullptr;
  int type = ioctl(fd, NS_GET_NSTYPE);
  return Number(env, type < 0 ? -errno : type);
}

napi_value NamespaceOwner(napi_env env, napi_callback_info info) {
  Arguments<1> arguments(env, info);
  int fd = arguments.Integer(0);
  if (!arguments.ok()) return nullptr;
  int owner = ioctl(fd, NS_GET_USERNS);  // close-on-exec, ioctl_nsfs(2)
  if (owner < 0) return Number(env, -errno);
  arguments.environment().descriptors().Own(owner);
  return Number(env, owner);
}

}  // namespace netkit
