// Descriptors that go to other processes over Unix sockets (unix(7), SCM_RIGHTS), and what such sockets need.
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "arguments.h"
#include "environment.h"
#include "functions.h"

namespace netkit {

namespace {

// SCM_MAX_FD of include/net/scm.h: the kernel takes no more in one message.
constexpr size_t kMostDescriptors = 253;
// For all of them, and for what an inherited socket may have been told to add: credentials, a security label, a pidfd.
constexpr size_t kControlRoom = CMSG_SPACE(kMostDescriptors * sizeof(int)) + 2048;
// linux/socket.h since 6.5: a control message with a descriptor of the sender's process.
constexpr int kScmPidfd = 4;

class Arrived {
 public:
  explicit Arrived(const msghdr& message) {
    // CMSG_NXTHDR wants one that may be written to.
    msghdr* from = const_cast<msghdr*>(&message);
    for (cmsghdr* header = CMSG_FIRSTHDR(from); header != nullptr; header = CMSG_NXTHDR(from, header)) {
      if (header->cmsg_level != SOL_SOCKET || header->cmsg_len < CMSG_LEN(0)) continue;
      const size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
      for (size_t i = 0; i < count; i++) {
        int fd;
        memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof(fd));
        if (header->cmsg_type == SCM_RIGHTS && count_ < kMostDescriptors) {
          descriptors_[count_++] = fd;
        } else if (header->cmsg_type == SCM_RIGHTS || header->cmsg_type == kScmPidfd) {
          if (fd >= 0) close(fd);
        }
      }
    }
  }

  size_t count() const { return count_; }
  int operator[](size_t i) const { return descriptors_[i]; }

 private:
  int descriptors_[kMostDescriptors];
  size_t count_ = 0;
};

napi_value Boolean(napi_env env, bool value) {
  napi_value result = nullptr;
  napi_get_boolean(env, value, &result);
  return result;
}

}  // namespace

napi_value SendDescriptors(napi_env env, napi_callback_info info) {
  Arguments<3> arguments(env, info);
  int fd = arguments.Integer(0);
  Bytes data = arguments.Octets(1);
  Elements<uint32_t> descriptors = arguments.Words(2);
  if (!arguments.ok()) return nullptr;
  if (descriptors.length > kMostDescriptors) return Number(env, -EINVAL);
  alignas(cmsghdr) char control[CMSG_SPACE(kMostDescriptors * sizeof(int))] = {};
  iovec part = {data.data, data.length};
  msghdr message = {};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (descriptors.length > 0) {
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(descriptors.length * sizeof(int));
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(descriptors.length * sizeof(int));
    for (size_t i = 0; i < descriptors.length; i++) {
      if (descriptors.data[i] > INT_MAX) return Number(env, -EBADF);
      int each = static_cast<int>(descriptors.data[i]);
      memcpy(CMSG_DATA(header) + i * sizeof(int), &each, sizeof(each));
    }
  }
  ssize_t sent;
  do {
    sent = sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  return Number(env, sent < 0 ? -errno : static_cast<double>(sent));
}

napi_value ReceiveDescriptors(napi_env env, napi_callback_info info) {
  Arguments<2> arguments(env, info);
  int fd = arguments.Integer(0);
  Bytes data = arguments.Octets(1);
  if (!arguments.ok()) return nullptr;
  alignas(cmsghdr) char control[kControlRoom];
  iovec part = {data.data, data.length};
  msghdr message = {};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof(control);
  ssize_t received;
  do {
    received = recvmsg(fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  } while (received < 0 && errno == EINTR);
  if (received < 0) return Number(env, -errno);
  const Arrived arrived(message);
  // Owned before anything can fail: whatever becomes of this call, they are closed at the environment's end.
  for (size_t i = 0; i < arrived.count(); i++) arguments.environment().descriptors().Own(arrived[i]);
  napi_value result = nullptr, list = nullptr;
  if (napi_create_object(env, &result) != napi_ok ||
      napi_create_array_with_length(env, arrived.count(), &list) != napi_ok) {
    return nullptr;
  }
  for (size_t i = 0; i < arrived.count(); i++) {
    napi_set_element(env, list, static_cast<uint32_t>(i), Number(env, arrived[i]));
  }
  napi_set_named_property(env, result, "received", Number(env, static_cast<double>(received)));
  napi_set_named_property(env, result, "descriptors", list);
  napi_set_named_property(env, result, "cut", Boolean(env, (message.msg_flags & MSG_TRUNC) != 0));
  napi_set_named_property(env, result, "lost", Boolean(env, (message.msg_flags & MSG_CTRUNC) != 0));
  return result;
}

napi_value DuplicateDescriptor(napi_env env, napi_callback_info info) {
  Arguments<1> arguments(env, info);
  int fd = arguments.Integer(0);
  if (!arguments.ok()) return nullptr;
  int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
  if (copy < 0) return Number(env, -errno);
  arguments.environment().descriptors().Own(copy);
  return Number(env, copy);
}

napi_value AdoptDescriptor(napi_env env, napi_callback_info info) {
  Arguments<2> arguments(env, info);
  int fd = arguments.Integer(0);
  uint32_t non_blocking = arguments.Unsigned(1);
  if (!arguments.ok()) return nullptr;
  int flags = fcntl(fd, F_GETFD);
  if (flags < 0 || fcntl(fd, F_SETFD, flags | FD_CLOEXEC) != 0) return Number(env, -errno);
  if (non_blocking != 0) {
    flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0) return Number(env, -errno);
  }
  arguments.environment().descriptors().Own(fd);
  return Number(env, 0);
}

napi_value ListenSocket(napi_env env, napi_callback_info info) {
  Arguments<2> arguments(env, info);
  int fd = arguments.Integer(0);
  int backlog = arguments.Integer(1);
  if (!arguments.ok()) return nullptr;
  return Number(env, listen(fd, backlog) == 0 ? 0 : -errno);
}

napi_value AcceptSocket(napi_env env, napi_callback_info info) {
  Arguments<1> arguments(env, info);
  int fd = arguments.Integer(0);
  if (!arguments.ok()) return nullptr;
  int accepted;
  do {
    accepted = accept4(fd, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
  } while (accepted < 0 && (errno == EINTR || errno == ECONNABORTED));
  if (accepted < 0) return Number(env, -errno);
  arguments.environment().descriptors().Own(accepted);
  return Number(env, accepted);
}

napi_value CreateSocketPair(napi_env env, napi_callback_info info) {
  Arguments<2> arguments(env, info);
  int type = arguments.Integer(0);
  Elements<uint32_t> ends = arguments.Words(1);
  if (!arguments.ok()) return nullptr;
  if (ends.length < 2) return Number(env, -EINVAL);
  int fds[2];
  if (socketpair(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) != 0) return Number(env, -errno);
  for (size_t i = 0; i < 2; i++) {
    arguments.environment().descriptors().Own(fds[i]);
    ends.data[i] = static_cast<uint32_t>(fds[i]);
  }
  return Number(env, 0);
}

}  // namespace netkit
