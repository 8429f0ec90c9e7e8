// What a datagram socket sends: many datagrams with one sendmmsg(2), and runs of equally long ones as a single large
// one that the kernel cuts (UDP_SEGMENT, udp(7)).
#include <netinet/udp.h>

#include "datagram_end.h"

namespace netkit {

namespace {

// Datagrams of one sendmmsg(2), and frames in them.
constexpr uint32_t kMessages = 64;
constexpr uint32_t kParts = 512;
// Of one send with UDP_SEGMENT: segments (UDP_MAX_SEGMENTS of include/linux/udp.h, before it grew), and bytes, which
// all segments together may have as the payload of one IPv4 datagram.
constexpr uint32_t kSegments = 64;
constexpr size_t kPayload = 65507;

bool IsThere(const Span& span, size_t size) {
  return span.length() > 0 && span.offset <= size && span.length() <= size - span.offset;
}

}  // namespace

struct DatagramEnd::Outgoing {
  uint32_t frames;  // that the message has
  size_t segment;   // their length when they are several, else 0
};

int DatagramEnd::Write(const uint8_t* slab, size_t size, const Span* spans, uint32_t count) {
  Tally tally(counters_);
  Address to;
  bool connected = Is(kDatagramConnected);
  bool waiting = false;
  if (!connected) {
    Locked locked(mutex_);
    to = remote_;
    waiting = waiting_;
  }
  if (!connected && to.length == 0) {
    for (uint32_t i = 0; i < count; i++) tally.Refused(EDESTADDRREQ);
    return static_cast<int>(count);
  }
  connected = connected || waiting;

  mmsghdr messages[kMessages];
  iovec parts[kParts];
  Outgoing sent[kMessages];
  alignas(cmsghdr) uint8_t controls[kMessages][CMSG_SPACE(sizeof(uint16_t))];
  uint32_t done = 0;
  int last_error = 0;  // of the frame at `done`, when it was tried before
  while (done < count) {
    uint32_t built = 0, used = 0, next = done;
    while (next < count && built < kMessages && used < kParts && IsThere(spans[next], size)) {
      const size_t segment = spans[next].length();
      const bool joins = gso_.load(std::memory_order_relaxed) && segment < longest_segment_ && segment < kPayload;
      msghdr& header = messages[built].msg_hdr;
      header = {};
      header.msg_iov = &parts[used];
      if (!connected) {
        header.msg_name = &to.storage;
        header.msg_namelen = to.length;
      }
      size_t total = 0, length = 0;
      uint32_t frames = 0;
      const uint8_t* end = nullptr;
      do {
        length = spans[next].length();
        const uint8_t* data = slab + spans[next].offset;
        // Frames that lie behind each other, as they were received, are one part.
        if (data == end) {
          parts[used - 1].iov_len += length;
        } else {
          parts[used++] = {const_cast<uint8_t*>(data), length};
        }
        end = data + length;
        total += length;
        frames++;
        next++;
      } while (joins && length == segment && frames < kSegments && next < count && used < kParts &&
               IsThere(spans[next], size) && spans[next].length() <= segment &&
               spans[next].length() <= kPayload - total);
      header.msg_iovlen = static_cast<size_t>(&parts[used] - header.msg_iov);
      sent[built] = {frames, frames > 1 ? segment : 0};
      if (frames > 1) {
        header.msg_control = controls[built];
        header.msg_controllen = sizeof(controls[built]);
        cmsghdr* control = CMSG_FIRSTHDR(&header);
        control->cmsg_level = SOL_UDP;
        control->cmsg_type = UDP_SEGMENT;
        control->cmsg_len = CMSG_LEN(sizeof(uint16_t));
        const uint16_t value = static_cast<uint16_t>(segment);
        memcpy(CMSG_DATA(control), &value, sizeof(value));
      }
      built++;
    }
    if (built == 0) {
      tally.Refused(EINVAL);
      done++;
      continue;
    }
    const int result = sendmmsg(fd_, messages, built, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (result > 0) {
      // It was an earlier frame's error.
      if (last_error != 0) tally.Refused(last_error);
      last_error = 0;
      for (int i = 0; i < result; i++) {
        for (uint32_t j = 0; j < sent[i].frames; j++) tally.Written(spans[done++].length());
      }
      continue;
    }
    const int error = errno;
    if (error == EINTR) continue;
    if (error == EAGAIN) {
      if (!connected) WaitForPeer();
      return done > 0 ? static_cast<int>(done) : -EAGAIN;
    }
    if (error == EBADF || error == ENOTSOCK) return done > 0 ? static_cast<int>(done) : -error;
    if (IsForSegments(error, sent[0])) continue;
    if (Is(kDatagramConnected) && !Is(kDatagramUnix) && last_error == 0) {
      // It may be what ICMP said of an earlier frame: then this one was not sent, and the error is gone now.
      last_error = error;
      continue;
    }
    if (waiting && error == ECONNREFUSED) {
      // The kernel has disconnected it from a peer that is gone. There may be a successor.
      Locked locked(mutex_);
      waiting_ = waiting = connected = false;
      continue;
    }
    // Nobody there, or too long, or no route, or forbidden: the end goes on with the next.
    last_error = 0;
    for (uint32_t i = 0; i < sent[0].frames; i++, done++) tally.Refused(error);
  }
  return static_cast<int>(count);
}

// Whether an error is about sending many segments as one, and not about the frames. They are sent otherwise from then
// on.
bool DatagramEnd::IsForSegments(int error, const Outgoing& message) {
  if (message.segment == 0) return false;
  switch (error) {
    case EINVAL:
    case EMSGSIZE:
      // Segments longer than the path's MTU: the kernel makes fragments of such only when they are sent alone.
      longest_segment_ = message.segment;
      return true;
    case EIO:
    case EOPNOTSUPP:
    case ENOPROTOOPT:
      // The interface makes no checksums, or an IPsec tunnel is on the way.
      gso_.store(false, std::memory_order_relaxed);
      return true;
    default:
      return false;
  }
}

// A Unix socket whose peer's queue is full polls writable all the same, unless it is connected to that peer.
void DatagramEnd::WaitForPeer() {
  if (!Is(kDatagramUnix)) return;
  Locked locked(mutex_);
  if (waiting_ || remote_.length == 0) return;
  waiting_ = connect(fd_, reinterpret_cast<const sockaddr*>(&remote_.storage), remote_.length) == 0;
}

void DatagramEnd::Refresh() {
  Locked locked(mutex_);
  if (!waiting_ || remote_.length == 0) return;
  // Connecting to the same peer again changes nothing. A successor under its path could not send to this socket before.
  if (connect(fd_, reinterpret_cast<const sockaddr*>(&remote_.storage), remote_.length) == 0) return;
  const sockaddr none = {AF_UNSPEC, {}};
  connect(fd_, &none, sizeof(none));
  waiting_ = false;
}

}  // namespace netkit
