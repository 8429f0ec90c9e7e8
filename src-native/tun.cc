#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <linux/sockios.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "arguments.h"
#include "environment.h"
#include "functions.h"

namespace netkit {

namespace {

// One ioctl of tun(4) with an integer. Only those that take one, by value or by address: any other would read or write
// the process's memory at a place that the caller chose. Returns 0 or a negated errno.
int Control(int fd, uint32_t request, int64_t value) {
  int result;
  switch (request) {
    case TUNSETNOCSUM:
    case TUNSETPERSIST:
    case TUNSETOWNER:
    case TUNSETGROUP:
    case TUNSETLINK:
    case TUNSETOFFLOAD:
    case TUNSETDEBUG:
      result = ioctl(fd, request, static_cast<unsigned long>(value));
      break;
    case TUNSETSNDBUF:
    case TUNSETVNETHDRSZ:
    case TUNSETVNETLE:
    case TUNSETVNETBE:
    case TUNSETSTEERINGEBPF:
    case TUNSETFILTEREBPF: {
      int number = static_cast<int>(value);
      result = ioctl(fd, request, &number);
      break;
    }
    case TUNSETQUEUE: {
      ifreq queue = {};
      queue.ifr_flags = static_cast<short>(value);
      result = ioctl(fd, request, &queue);
      break;
    }
    default:
      return -EINVAL;
  }
  return result < 0 ? -errno : 0;
}

class OpenTunJob : public EnteringJob {
 public:
  ~OpenTunJob() override { free(controls_); }

  // `length` is IFNAMSIZ when the name does not fit.
  void SetName(const char* name, size_t length, uint32_t flags) {
    memcpy(name_, name, length < IFNAMSIZ ? length : 0);
    fits_ = length < IFNAMSIZ && flags <= UINT16_MAX;
    flags_ = static_cast<uint16_t>(flags);
  }

  // False when there is no memory.
  bool SetControls(Elements<uint32_t> controls) {
    if (controls.length == 0) return true;
    controls_ = static_cast<uint32_t*>(malloc(controls.length * sizeof(uint32_t)));
    if (controls_ == nullptr) return false;
    memcpy(controls_, controls.data, controls.length * sizeof(uint32_t));
    controls_length_ = controls.length;
    return true;
  }

  void Run() override {
    if (!Step("setns", Enter())) return;
    int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (!Step("open", fd < 0 ? -errno : 0)) return;
    fd_.Reset(fd);
    ifreq request = {};
    memcpy(request.ifr_name, name_, IFNAMSIZ);
    request.ifr_flags = static_cast<short>(flags_);
    // The kernel would cut a longer name.
    int error = !fits_ ? -EINVAL : ioctl(fd, TUNSETIFF, &request) < 0 ? -errno : 0;
    if (!Step("TUNSETIFF", error)) return;
    memcpy(name_, request.ifr_name, IFNAMSIZ);
    for (size_t i = 0; i + 1 < controls_length_; i += 2) {
      control_ = static_cast<int>(i / 2);
      if (!Step("ioctl", Control(fd, controls_[i], static_cast<int32_t>(controls_[i + 1])))) return;
    }
  }

  void Refuse(int error) override { Step("setns", error); }

  napi_value Finish(Environment& environment) override {
    napi_env env = environment.env();
    int fd = fd_.Release();
    if (fd >= 0) environment.descriptors().Own(fd);
    napi_value result = nullptr, syscall = nullptr, name = nullptr;
    if (napi_create_object(env, &result) != napi_ok) return nullptr;
    napi_create_string_latin1(env, syscall_, NAPI_AUTO_LENGTH, &syscall);
    napi_create_string_utf8(env, name_, strnlen(name_, IFNAMSIZ), &name);
    napi_set_named_property(env, result, "fd", Number(env, fd));
    napi_set_named_property(env, result, "error", Number(env, error_));
    napi_set_named_property(env, result, "syscall", syscall);
    napi_set_named_property(env, result, "control", Number(env, error_ == 0 ? -1 : control_));
    napi_set_named_property(env, result, "name", name);
    return result;
  }

 private:
  // Whether to go on. A half-made device goes with its descriptor.
  bool Step(const char* syscall, int error) {
    syscall_ = syscall;
    error_ = error;
    if (error != 0) fd_.Reset(-1);
    return error == 0;
  }

  char name_[IFNAMSIZ] = {};
  uint16_t flags_ = 0;
  bool fits_ = true;
  uint32_t* controls_ = nullptr;
  size_t controls_length_ = 0;
  const char* syscall_ = "";
  int error_ = 0;
  int control_ = -1;
  Descriptor fd_;
};

class ControlJob : public NumberJob {
 public:
  ControlJob(int fd, uint32_t request, int64_t value) : fd_(fd), request_(request), value_(value) {}
  void Run() override { result_ = Control(fd_, request_, value_); }

 private:
  const int fd_;
  const uint32_t request_;
  const int64_t value_;
};

}  // namespace

napi_value OpenTun(napi_env env, napi_callback_info info) {
  Arguments<4> arguments(env, info);
  char name[IFNAMSIZ];
  int ns = arguments.Integer(0);
  size_t length = arguments.String(1, name, sizeof(name));
  uint32_t flags = arguments.Unsigned(2);
  Elements<uint32_t> controls = arguments.Words(3);
  if (!arguments.ok()) return nullptr;
  OpenTunJob* job = new OpenTunJob();
  job->SetName(name, length, flags);
  int error = job->SetNamespace(ns);
  if (error == 0 && !job->SetControls(controls)) error = -ENOMEM;
  return arguments.environment().SubmitEntering(job, error);
}

napi_value IdentifyTun(napi_env env, napi_callback_info info) {
  Arguments<1> arguments(env, info);
  int fd = arguments.Integer(0);
  if (!arguments.ok()) return nullptr;
  ifreq found = {};
  if (ioctl(fd, TUNGETIFF, &found) < 0) return Number(env, -errno);
  napi_value result = nullptr, name = nullptr;
  if (napi_create_object(env, &result) != napi_ok) return nullptr;
  napi_create_string_utf8(env, found.ifr_name, strnlen(found.ifr_name, IFNAMSIZ), &name);
  napi_set_named_property(env, result, "name", name);
  napi_set_named_property(env, result, "flags", Number(env, static_cast<uint16_t>(found.ifr_flags)));
  return result;
}

napi_value TunNamespace(napi_env env, napi_callback_info info) {
  Arguments<1> arguments(env, info);
  int fd = arguments.Integer(0);
  if (!arguments.ok()) return nullptr;
  // The kernel makes it close-on-exec.
  int ns = ioctl(fd, SIOCGSKNS);
  if (ns < 0) return Number(env, -errno);
  arguments.environment().descriptors().Own(ns);
  return Number(env, ns);
}

napi_value ControlTun(napi_env env, napi_callback_info info) {
  Arguments<3> arguments(env, info);
  int fd = arguments.Integer(0);
  uint32_t request = arguments.Unsigned(1);
  int64_t value = arguments.Word(2);
  if (!arguments.ok()) return nullptr;
  return arguments.environment().Submit(new ControlJob(fd, request, value), fd);
}

}  // namespace netkit
