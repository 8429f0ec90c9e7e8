#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "arguments.h"
#include "environment.h"
#include "functions.h"

namespace netkit {

namespace {

class OpenSocketJob : public DescriptorJob {
 public:
  OpenSocketJob(int family, int type, int protocol) : family_(family), type_(type), protocol_(protocol) {}

  void Run() override {
    error_ = Enter();
    if (error_ == 0) Answer(socket(family_, type_ | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol_));
  }

 private:
  const int family_;
  const int type_;
  const int protocol_;
};

template <typename Call>
napi_value WithAddress(napi_env env, napi_callback_info info, Call call) {
  Arguments<2> arguments(env, info);
  int fd = arguments.Integer(0);
  Bytes address = arguments.Octets(1);
  if (!arguments.ok()) return nullptr;
  if (address.length > sizeof(sockaddr_storage)) return Number(env, -EINVAL);
  int result = call(fd, reinterpret_cast<const sockaddr*>(address.data), static_cast<socklen_t>(address.length));
  return Number(env, result == 0 ? 0 : -errno);
}

}  // namespace

napi_value OpenSocket(napi_env env, napi_callback_info info) {
  Arguments<4> arguments(env, info);
  int ns = arguments.Integer(0);
  int family = arguments.Integer(1);
  int type = arguments.Integer(2);
  int protocol = arguments.Integer(3);
  if (!arguments.ok()) return nullptr;
  OpenSocketJob* job = new OpenSocketJob(family, type, protocol);
  int error = job->SetNamespace(ns);
  return arguments.environment().SubmitEntering(job, error);
}

napi_value BindSocket(napi_env env, napi_callback_info info) { return WithAddress(env, info, bind); }

napi_value ConnectSocket(napi_env env, napi_callback_info info) { return WithAddress(env, info, connect); }

napi_value SocketName(napi_env env, napi_callback_info info) {
  Arguments<2> arguments(env, info);
  int fd = arguments.Integer(0);
  Bytes address = arguments.Octets(1);
  if (!arguments.ok()) return nullptr;
  sockaddr_storage storage = {};
  socklen_t length = sizeof(storage);
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&storage), &length) != 0) return Number(env, -errno);
  if (length > sizeof(storage)) length = sizeof(storage);
  if (address.length < length) return Number(env, -EINVAL);
  if (length > 0) memcpy(address.data, &storage, length);
  return Number(env, length);
}

napi_value CreateEventDescriptor(napi_env env, napi_callback_info info) {
  Arguments<0> arguments(env, info);
  if (!arguments.ok()) return nullptr;
  int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (fd < 0) return Number(env, -errno);
  arguments.environment().descriptors().Own(fd);
  return Number(env, fd);
}

napi_value ReadEventDescriptor(napi_env env, napi_callback_info info) {
  Arguments<1> arguments(env, info);
  int fd = arguments.Integer(0);
  if (!arguments.ok()) return nullptr;
  eventfd_t value = 0;
  return Number(env, eventfd_read(fd, &value) == 0 ? 0 : -errno);
}

napi_value SetSocketOption(napi_env env, napi_callback_info info) {
  Arguments<4> arguments(env, info);
  int fd = arguments.Integer(0);
  int level = arguments.Integer(1);
  int option = arguments.Integer(2);
  Bytes value = arguments.Octets(3);
  if (!arguments.ok()) return nullptr;
  if (value.length > INT32_MAX) return Number(env, -EINVAL);
  int result = setsockopt(fd, level, option, value.data, static_cast<socklen_t>(value.length));
  return Number(env, result == 0 ? 0 : -errno);
}

napi_value GetSocketOption(napi_env env, napi_callback_info info) {
  Arguments<4> arguments(env, info);
  int fd = arguments.Integer(0);
  int level = arguments.Integer(1);
  int option = arguments.Integer(2);
  Bytes value = arguments.Octets(3);
  if (!arguments.ok()) return nullptr;
  if (value.length > INT32_MAX) return Number(env, -EINVAL);
  socklen_t length = static_cast<socklen_t>(value.length);
  if (getsockopt(fd, level, option, value.data, &length) != 0) return Number(env, -errno);
  // Some options report the length they would have needed.
  return Number(env, length < value.length ? length : static_cast<double>(value.length));
}

}  // namespace netkit
