#include <errno.h>
#include <linux/netlink.h>
#include <string.h>
#include <sys/socket.h>

#include "arguments.h"
#include "environment.h"
#include "functions.h"
#include "poller.h"

namespace netkit {

namespace {

// The kernel makes no datagram of netlink larger than this when the reader offers it.
constexpr size_t kRoom = 65536;
// Datagrams looked at in one go on the work thread: a sender that is not the kernel must not keep it forever.
constexpr int kManyDatagrams = 65536;
constexpr int kDatagramsInLoop = 64;

struct Received {
  size_t bytes = 0;
  int error = 0;      // negated errno that ended receiving, 0 when it was EAGAIN or a limit
  bool more = false;  // a limit ended it
};

// Receives datagrams of the kernel until none waits, each padded to 4 bytes as netlink messages are (netlink(7),
// NLMSG_ALIGN).
Received ReceiveDatagrams(int fd, Bytes reply, int limit) {
  Received received;
  const size_t size = reply.length & ~static_cast<size_t>(3);
  for (int count = 0;; count++) {
    size_t room = size - received.bytes;
    if (count == limit || room == 0 || (received.bytes > 0 && room < kRoom)) {
      received.more = true;
      return received;
    }
    sockaddr_nl sender = {};
    iovec vector = {reply.data + received.bytes, room};
    msghdr message = {};
    message.msg_name = &sender;
    message.msg_namelen = sizeof(sender);
    message.msg_iov = &vector;
    message.msg_iovlen = 1;
    ssize_t length;
    do {
      length = recvmsg(fd, &message, MSG_DONTWAIT | MSG_TRUNC);
    } while (length < 0 && errno == EINTR);
    if (length < 0) {
      if (errno != EAGAIN) received.error = -errno;
      return received;
    }
    // Another process may send to this socket's address. Only the kernel has port 0.
    if (message.msg_namelen < sizeof(sender) || sender.nl_family != AF_NETLINK || sender.nl_pid != 0) continue;
    if (static_cast<size_t>(length) > room) {  // MSG_TRUNC gives the whole length
      received.error = -EMSGSIZE;
      return received;
    }
    size_t end = received.bytes + static_cast<size_t>(length);
    received.bytes = (end + 3) & ~static_cast<size_t>(3);
    memset(reply.data + end, 0, received.bytes - end);
  }
}

class ExchangeJob : public Job {
 public:
  ExchangeJob(int fd, Bytes request, Bytes reply) : fd_(fd), request_(request), reply_(reply) {}

  void Hold(napi_env env, napi_value request, napi_value reply) {
    napi_create_reference(env, request, 1, &request_value_);
    napi_create_reference(env, reply, 1, &reply_value_);
  }

  void ReleaseValues(napi_env env) override {
    if (request_value_ != nullptr) napi_delete_reference(env, request_value_);
    if (reply_value_ != nullptr) napi_delete_reference(env, reply_value_);
  }

  void Run() override {
    if (request_.length > 0) {
      do {
        sent_ = send(fd_, request_.data, request_.length, MSG_DONTWAIT | MSG_NOSIGNAL);
      } while (sent_ < 0 && errno == EINTR);
      if (sent_ < 0) {
        sent_ = -errno;
        return;
      }
    }
    received_ = ReceiveDatagrams(fd_, reply_, kManyDatagrams);
  }

  void Refuse(int error) override { sent_ = error; }

  napi_value Finish(Environment& environment) override {
    napi_env env = environment.env();
    napi_value result = nullptr, more = nullptr;
    if (napi_create_object(env, &result) != napi_ok) return nullptr;
    napi_get_boolean(env, received_.more, &more);
    napi_set_named_property(env, result, "sent", Number(env, static_cast<double>(sent_)));
    napi_set_named_property(env, result, "received", Number(env, static_cast<double>(received_.bytes)));
    napi_set_named_property(env, result, "error", Number(env, received_.error));
    napi_set_named_property(env, result, "more", more);
    return result;
  }

 private:
  const int fd_;
  const Bytes request_;
  const Bytes reply_;
  napi_ref request_value_ = nullptr;
  napi_ref reply_value_ = nullptr;
  ssize_t sent_ = 0;
  Received received_;
};

}  // namespace

napi_value Exchange(napi_env env, napi_callback_info info) {
  Arguments<3> arguments(env, info);
  int fd = arguments.Integer(0);
  Bytes request = arguments.Octets(1);
  Bytes reply = arguments.Octets(2);
  if (!arguments.ok()) return nullptr;
  ExchangeJob* job = new ExchangeJob(fd, request, reply);
  job->Hold(env, arguments.value(1), arguments.value(2));
  return arguments.environment().Submit(job, fd);
}

napi_value Receive(napi_env env, napi_callback_info info) {
  Arguments<2> arguments(env, info);
  int fd = arguments.Integer(0);
  Bytes reply = arguments.Octets(1);
  if (!arguments.ok()) return nullptr;
  if (reply.length < 4) return Number(env, -EINVAL);
  Descriptors& descriptors = arguments.environment().descriptors();
  int kept = descriptors.TakeError(fd);
  if (kept != 0) return Number(env, kept);
  // The kernel forgets an error when it has told it, so one that comes behind datagrams is kept for the next call, and
  // poll(2) knows nothing of it. That needs an owned descriptor; from others one datagram is taken at a time.
  Received received = ReceiveDatagrams(fd, reply, descriptors.Owns(fd) ? kDatagramsInLoop : 1);
  if (received.bytes > 0) {
    if (received.error != 0) {
      descriptors.KeepError(fd, received.error);
      Poller* poller = descriptors.poller(fd);
      if (poller != nullptr) poller->Nudge();
    }
    return Number(env, static_cast<double>(received.bytes));
  }
  return Number(env, received.error != 0 ? received.error : -EAGAIN);
}

}  // namespace netkit
