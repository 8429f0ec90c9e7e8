#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>

#include "arguments.h"
#include "environment.h"
#include "functions.h"

namespace netkit {

namespace {

// Taking a mount away waits for the kernel's other processors, for milliseconds at times.
class UnmountJob : public NumberJob {
 public:
  UnmountJob(const char* target, int flags) : flags_(flags) {
    memcpy(target_, target, strnlen(target, sizeof(target_) - 1));
  }
  void Run() override { result_ = umount2(target_, flags_) == 0 ? 0 : -errno; }

 private:
  char target_[PATH_MAX] = {};
  const int flags_;
};

}  // namespace

napi_value Mount(napi_env env, napi_callback_info info) {
  Arguments<3> arguments(env, info);
  char source[PATH_MAX];
  char target[PATH_MAX];
  size_t source_length = arguments.String(0, source, sizeof(source));
  size_t target_length = arguments.String(1, target, sizeof(target));
  uint32_t flags = arguments.Unsigned(2);
  if (!arguments.ok()) return nullptr;
  if (source_length == sizeof(source) || target_length == sizeof(target)) return Number(env, -EINVAL);
  return Number(env, mount(source, target, nullptr, flags, nullptr) == 0 ? 0 : -errno);
}

napi_value Unmount(napi_env env, napi_callback_info info) {
  Arguments<2> arguments(env, info);
  char target[PATH_MAX];
  size_t length = arguments.String(0, target, sizeof(target));
  int flags = arguments.Integer(1);
  if (!arguments.ok()) return nullptr;
  Environment& environment = arguments.environment();
  if (length == sizeof(target)) return environment.Resolved(-EINVAL);
  return environment.Submit(new UnmountJob(target, flags));
}

napi_value LockFile(napi_env env, napi_callback_info info) {
  Arguments<2> arguments(env, info);
  int fd = arguments.Integer(0);
  int operation = arguments.Integer(1);
  if (!arguments.ok()) return nullptr;
  int result;
  do {
    result = flock(fd, operation);
  } while (result != 0 && errno == EINTR);
  return Number(env, result == 0 ? 0 : -errno);
}

}  // namespace netkit
