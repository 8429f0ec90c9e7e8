#include "packet_end.h"

#include <linux/if.h>
#include <linux/if_packet.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <new>

namespace netkit {

namespace {

// Frames a call of recvmmsg(2), and of sendmmsg(2).
constexpr uint32_t kMessages = 32;
// The same when each needs room for the longest.
constexpr uint32_t kLongMessages = 8;
// Room for the longest: 65,535 bytes of IP, an Ethernet header, VLAN tags.
constexpr size_t kLongSlot = kFrameRoom - kFrameAlignment;
// A slot for a frame that is longer than this is as long as any frame.
constexpr size_t kShortFrame = 16 * 1024;
// For so many calls after a long frame, more of them are expected.
constexpr uint32_t kPatience = 16;
// Reading gets over so many errors a call: each is a frame that is lost, or one of the socket.
constexpr int kErrors = 64;
// Frames of a ring that a call looks at: more than it is ever asked for.
constexpr uint32_t kLooks = 8192;

constexpr size_t kControlSize = CMSG_SPACE(sizeof(tpacket_auxdata)) + CMSG_SPACE(sizeof(timespec));

}  // namespace

const char PacketSocketEnd::kKind = 0;

// What recvmmsg(2) takes. A frame that is longer than its slot in the slab goes on in a region of its own.
struct PacketSocketEnd::Reception {
  uint32_t capacity;   // messages
  size_t region_size;  // kFrameAlignment, a slot's length, kFrameRoom
  uint8_t* regions;
  mmsghdr messages[kMessages];
  iovec parts[kMessages][3];
  sockaddr_ll addresses[kMessages];
  OffloadHeader headers[kMessages];
  alignas(cmsghdr) uint8_t control[kMessages][kControlSize];

  uint8_t* region(uint32_t index) { return regions + index * region_size + kFrameAlignment; }
};

PacketSocketEnd::PacketSocketEnd(int fd, const Settings& settings)
    : End(fd, settings.layer3),
      settings_(settings),
      frame_length_(settings.frame_length > kShortFrame ? kLongSlot : Delivery::Aligned(settings.frame_length)),
      intake_(settings.layer3, settings.offload) {}

PacketSocketEnd::~PacketSocketEnd() {
  if (reception_ != nullptr) {
    munmap(reception_->regions, reception_->capacity * reception_->region_size);
    delete reception_;
  }
}

void PacketSocketEnd::Shut() {
  shut_.store(true, std::memory_order_relaxed);
  Locked locked(ring_mutex_);
  ring_.Unmap();
}

uint64_t PacketSocketEnd::Dropped() {
  tpacket_stats_v3 statistics = {};
  socklen_t length = sizeof(statistics);
  // Reading them sets them back.
  if (!shut_.load(std::memory_order_relaxed) &&
      getsockopt(fd_, SOL_PACKET, PACKET_STATISTICS, &statistics, &length) == 0) {
    dropped_.fetch_add(statistics.tp_drops, std::memory_order_relaxed);
  }
  return dropped_.load(std::memory_order_relaxed) + lost_.load(std::memory_order_relaxed);
}

bool PacketSocketEnd::Prepare() {
  if (reception_ != nullptr) return true;
  Reception* reception = new (std::nothrow) Reception;
  if (reception == nullptr) return false;
  reception->capacity = frame_length_ > kShortFrame ? kLongMessages : kMessages;
  reception->region_size = kFrameAlignment + frame_length_ + kFrameRoom;
  // Only what long frames touch becomes memory.
  void* regions = mmap(nullptr, reception->capacity * reception->region_size, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (regions == MAP_FAILED) {
    delete reception;
    return false;
  }
  reception->regions = static_cast<uint8_t*>(regions);
  reception_ = reception;
  return true;
}

// The kernel unbinds a socket whose link is deleted, or moved to another namespace.
bool PacketSocketEnd::IsLinkGone() {
  sockaddr_ll address = {};
  socklen_t length = sizeof(address);
  if (settings_.all_links || getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &length) != 0) return false;
  return address.sll_ifindex < 0;
}

bool PacketSocketEnd::IsLinkUp() {
  sockaddr_ll address = {};
  socklen_t length = sizeof(address);
  ifreq request = {};
  if (getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &length) != 0) return false;
  request.ifr_ifindex = address.sll_ifindex;
  return ioctl(fd_, SIOCGIFNAME, &request) == 0 && ioctl(fd_, SIOCGIFFLAGS, &request) == 0 &&
         (request.ifr_flags & IFF_UP) != 0;
}

// The socket has an error when its link goes down, and no other when that is deleted afterwards, which may be at once:
// until the link is up again, somebody has to look.
void PacketSocketEnd::LookAtLink() {
  if (IsLinkGone()) {
    gone_.store(true, std::memory_order_relaxed);
    down_.store(false, std::memory_order_relaxed);
  } else {
    down_.store(!settings_.all_links && !IsLinkUp(), std::memory_order_relaxed);
  }
}

int PacketSocketEnd::Recover(int error) {
  if (error == ENETDOWN) {
    LookAtLink();
    return 0;
  }
  if (error == EBADF || error == ENOTSOCK || error == ENOMEM || error == ENOBUFS) return -error;
  // A frame whose segments have no offload header (EINVAL): the kernel has thrown it away.
  Lost();
  return 0;
}

int PacketSocketEnd::Read(uint8_t* slab, size_t size, size_t position, Span* spans, uint32_t max,
                          FrameDetail* details) {
  if (max == 0 || position > size || size > UINT32_MAX) return -EINVAL;
  if (shut_.load(std::memory_order_relaxed)) return -EBADF;
  Delivery delivery(slab, size, position, spans, max, details);
  Tally tally(counters_);
  intake_.Drain(delivery);
  int error = 0;
  if (!intake_.keeps() && !delivery.full() && delivery.room() >= room()) {
    error = has_ring_ ? ReadRing(delivery) : ReadSocket(delivery, tally);
    intake_.Drain(delivery);
  } else if (delivery.count() == 0) {
    error = -ENOBUFS;
  }
  const uint32_t count = delivery.count();
  for (uint32_t i = 0; i < count; i++) tally.Read(spans[i].length());
  if (count > 0) return static_cast<int>(count);
  if (down_.load(std::memory_order_relaxed)) LookAtLink();
  return error == -EAGAIN && gone_.load(std::memory_order_relaxed) ? -ENODEV : error;
}

int PacketSocketEnd::ReadRing(Delivery& delivery) {
  Locked locked(ring_mutex_);
  if (!ring_.mapped()) return -EBADF;
  Arrival arrival;
  // What is of no use is thrown away, and not for ever.
  uint32_t looks = 0;
  while (!delivery.full() && !intake_.keeps() && delivery.room() >= room() && looks < kLooks) {
    if (!ring_.Look(&arrival)) break;
    looks++;
    if (arrival.length + kFrameAlignment <= delivery.room()) {
      intake_.Prepare(arrival);
      if (!intake_.Deliver(arrival, delivery)) Lost();
    } else {
      // No frame is that long, but with settings beyond the default (gso_max_size).
      counters_.truncated.fetch_add(1, std::memory_order_relaxed);
    }
    ring_.Take();
  }
  if (delivery.count() > 0) return 0;
  // What the socket has to say, taken away so that it does not poll any more.
  int error = 0;
  socklen_t length = sizeof(error);
  if (getsockopt(fd_, SOL_SOCKET, SO_ERROR, &error, &length) != 0) return -errno;
  if (error != 0) {
    const int fatal = Recover(error);
    if (fatal != 0) return fatal;
  }
  return -EAGAIN;
}

int PacketSocketEnd::ReadSocket(Delivery& delivery, Tally& tally) {
  if (!Prepare()) return -ENOMEM;
  int errors = 0;
  while (!delivery.full() && !intake_.keeps() && delivery.room() >= room()) {
    // Long frames that are handed over as they are come to rest at once. Others are rare, or cut anyway.
    const bool expects_long = settings_.offload && long_frames_ > 0 && frame_length_ < kLongSlot;
    const size_t slot = expects_long ? kLongSlot : frame_length_;
    const size_t stride = slot + kFrameAlignment;
    uint32_t count = expects_long ? kLongMessages : reception_->capacity;
    if (count > delivery.frames_left()) count = delivery.frames_left();
    if (count > delivery.room() / stride) count = static_cast<uint32_t>(delivery.room() / stride);
    if (expects_long) long_frames_--;
    for (uint32_t i = 0; i < count; i++) {
      iovec* parts = reception_->parts[i];
      parts[0] = {&reception_->headers[i], kOffloadHeaderSize};
      parts[1] = {delivery.slab() + delivery.position() + i * stride + kFrameAlignment, slot};
      parts[2] = {reception_->region(i) + slot, kFrameRoom};
      msghdr& message = reception_->messages[i].msg_hdr;
      message = {};
      message.msg_name = &reception_->addresses[i];
      message.msg_namelen = sizeof(reception_->addresses[i]);
      message.msg_iov = parts;
      message.msg_iovlen = expects_long ? 2 : 3;
      message.msg_control = reception_->control[i];
      message.msg_controllen = kControlSize;
    }
    const int received = recvmmsg(fd_, reception_->messages, count, MSG_DONTWAIT | MSG_TRUNC, nullptr);
    if (received <= 0) {
      if (errno == EAGAIN) return -EAGAIN;
      const int fatal = errno == EINTR ? 0 : Recover(errno);
      if (fatal != 0) return fatal;
      if (++errors == kErrors) return -EAGAIN;
      continue;
    }
    const uint32_t before = delivery.count();
    Accept(delivery, received, stride, tally);
    if (static_cast<uint32_t>(received) < count) break;
    if (delivery.count() == before && ++errors == kErrors) break;
  }
  return -EAGAIN;
}

namespace {

// From the control messages: VLAN tag, original length, time.
void ReadControl(msghdr* message, Arrival* arrival) {
  for (cmsghdr* each = CMSG_FIRSTHDR(message); each != nullptr; each = CMSG_NXTHDR(message, each)) {
    if (each->cmsg_level == SOL_SOCKET && each->cmsg_type == SCM_TIMESTAMPNS &&
        each->cmsg_len >= CMSG_LEN(sizeof(timespec))) {
      timespec time;
      memcpy(&time, CMSG_DATA(each), sizeof(time));
      arrival->time = static_cast<uint64_t>(time.tv_sec) * 1000000000u + static_cast<uint64_t>(time.tv_nsec);
    } else if (each->cmsg_level == SOL_PACKET && each->cmsg_type == PACKET_AUXDATA &&
               each->cmsg_len >= CMSG_LEN(sizeof(tpacket_auxdata))) {
      tpacket_auxdata data;
      memcpy(&data, CMSG_DATA(each), sizeof(data));
      arrival->original_length = data.tp_len;
      if ((data.tp_status & TP_STATUS_VLAN_VALID) == 0) continue;
      arrival->tag_protocol = (data.tp_status & TP_STATUS_VLAN_TPID_VALID) != 0 ? data.tp_vlan_tpid : kVlanProtocol;
      arrival->tag_control = data.tp_vlan_tci;
    }
  }
}

}  // namespace

void PacketSocketEnd::Accept(Delivery& delivery, int count, size_t stride, Tally& tally) {
  const size_t first = delivery.position();
  const size_t slot = stride - kFrameAlignment;
  // Slots of the usual length go on in a region.
  const size_t most = slot == frame_length_ ? slot + kFrameRoom : slot;
  bool apart = false;
  for (uint32_t i = 0; i < static_cast<uint32_t>(count); i++) {
    mmsghdr& message = reception_->messages[i];
    Arrival arrival = {};
    if (message.msg_len < kOffloadHeaderSize) {
      Lost();
      continue;
    }
    arrival.length = message.msg_len - static_cast<uint32_t>(kOffloadHeaderSize);
    arrival.original_length = arrival.length;
    arrival.header = reception_->headers[i];
    arrival.flags = reception_->addresses[i].sll_pkttype == PACKET_OUTGOING ? kOutbound : kInbound;
    ReadControl(&message.msg_hdr, &arrival);
    if (arrival.length > most) {
      tally.Truncated();
      continue;
    }
    const bool is_long = arrival.length > slot;
    if (is_long || arrival.length > frame_length_) long_frames_ = kPatience;
    if (!apart && (is_long || intake_.Cuts(arrival))) {
      // It will be in the way of those behind it: the slab is left to what comes out.
      apart = true;
      for (uint32_t j = i; j < static_cast<uint32_t>(count); j++) {
        const size_t whole = reception_->messages[j].msg_len;
        const size_t length = whole < kOffloadHeaderSize ? 0 : whole - kOffloadHeaderSize;
        memcpy(reception_->region(j), delivery.slab() + first + j * stride + kFrameAlignment,
               length < slot ? length : slot);
      }
    }
    arrival.data = apart ? reception_->region(i) : delivery.slab() + first + i * stride + kFrameAlignment;
    intake_.Prepare(arrival);
    if (!(apart ? intake_.Deliver(arrival, delivery) : intake_.DeliverHere(arrival, delivery))) Lost();
  }
}

int PacketSocketEnd::Write(const uint8_t* slab, size_t size, const Span* spans, uint32_t count) {
  Tally tally(counters_);
  uint32_t done = 0;
  while (done < count) {
    const uint32_t some = count - done < kMessages ? count - done : kMessages;
    const int result = WriteSome(slab, size, spans + done, some, tally);
    if (result < 0) return done > 0 ? static_cast<int>(done) : result;
    done += static_cast<uint32_t>(result);
  }
  return static_cast<int>(done);
}

// Up to kMessages frames. Returns how many were dealt with, at least one, or a negated errno.
int PacketSocketEnd::WriteSome(const uint8_t* slab, size_t size, const Span* spans, uint32_t count, Tally& tally) {
  static const OffloadHeader kNothing = {};
  mmsghdr messages[kMessages];
  iovec parts[kMessages][2];
  uint32_t valid = 0;
  for (; valid < count; valid++) {
    const Span& span = spans[valid];
    const size_t before = span.has_header() ? kOffloadHeaderSize : 0;
    if (span.offset < before || span.offset > size || span.length() > size - span.offset) break;
    iovec* part = parts[valid];
    uint8_t* frame = const_cast<uint8_t*>(slab + span.offset);
    part[0] = {const_cast<OffloadHeader*>(&kNothing), kOffloadHeaderSize};
    part[1] = {frame - before, before + span.length()};
    msghdr& message = messages[valid].msg_hdr;
    message = {};
    message.msg_iov = before > 0 ? part + 1 : part;
    message.msg_iovlen = before > 0 ? 1 : 2;
  }
  if (valid == 0) {
    tally.Refused(EINVAL);
    return 1;
  }
  int sent;
  bool retried = false;
  for (;;) {
    sent = sendmmsg(fd_, messages, valid, MSG_DONTWAIT);
    if (sent >= 0 || errno == EINTR) {
      if (sent >= 0) break;
    } else if (errno == ENETDOWN && !retried) {
      // Left over from when the link went down: it may be up again. Or it is deleted, which reading cannot see any
      // more.
      LookAtLink();
      retried = true;
    } else {
      break;
    }
  }
  if (sent > 0) {
    for (int i = 0; i < sent; i++) tally.Written(spans[i].length());
    return sent;
  }
  const int error = sent == 0 ? EINVAL : errno;
  if (error == EAGAIN || error == EBADF || error == ENOTSOCK) return -error;
  if ((error == ENXIO || error == ENODEV) && !settings_.all_links) {
    gone_.store(true, std::memory_order_relaxed);
    return -ENODEV;
  }
  tally.Refused(error);
  return 1;
}

}  // namespace netkit
