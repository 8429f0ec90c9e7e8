// Cutting of large frames, and checksums that a sender left to the device.
#include <errno.h>

#include "checksum.h"
#include "packet.h"

namespace netkit {

namespace {

constexpr size_t kMaxAlign = SIZE_MAX - kFrameAlignment;

size_t Aligned(size_t position) { return (position + kFrameAlignment - 1) & ~(kFrameAlignment - 1); }

// What is to be made of one frame.
struct Cut {
  Packet packet;
  uint32_t size;   // bytes of payload in every segment but the last
  uint32_t count;  // of segments
};

uint16_t ChecksumOffset(uint8_t protocol) { return protocol == kTcp ? kTcpChecksum : kUdpChecksum; }

// 0, or a negated errno.
int PlanCut(const uint8_t* frame, size_t length, bool layer3, const OffloadHeader& header, Cut* cut) {
  const uint8_t type = header.gso_type & static_cast<uint8_t>(~kGsoEcn);
  if (type != kGsoTcp4 && type != kGsoTcp6 && type != kGsoUdpL4) {
    // UFO wants IP fragments, of which a router or a firewall on the way may not think well; nobody sends it any more.
    return type == kGsoNone ? -EINVAL : -EOPNOTSUPP;
  }
  Packet& packet = cut->packet;
  if (header.gso_size == 0 || !ParsePacket(frame, length, layer3, &packet) || packet.fragment) return -EINVAL;
  if (packet.protocol != (type == kGsoUdpL4 ? kUdp : kTcp)) return -EINVAL;
  if ((type == kGsoTcp4 && packet.version != 4) || (type == kGsoTcp6 && packet.version != 6)) return -EINVAL;
  if (type == kGsoUdpL4 && (header.gso_type & kGsoEcn) != 0) return -EINVAL;
  if ((header.flags & kNeedsChecksum) != 0 &&
      (header.checksum_start != packet.transport || header.checksum_offset != ChecksumOffset(packet.protocol))) {
    return -EINVAL;
  }
  const uint8_t* const transport = frame + packet.transport;
  if (packet.protocol == kTcp && (transport[kTcpFlags] & (kSyn | kRst)) != 0) return -EINVAL;
  if (packet.protocol == kUdp && Load16(transport + 4) != packet.end - packet.transport) return -EINVAL;

  cut->size = header.gso_size;
  const uint32_t payload = packet.payload_length();
  // A frame without payload is one segment.
  cut->count = payload == 0 ? 1 : (payload + cut->size - 1) / cut->size;
  return 0;
}

// The frame itself, with the checksum that is wanting, if one is.
int CompleteFrame(const uint8_t* frame, size_t length, bool layer3, const OffloadHeader& header, uint8_t* slab,
                  size_t size, size_t position, Span* spans) {
  if (length >= kHasHeader || position > kMaxAlign) return -EINVAL;
  position = Aligned(position);
  if (position > size || length > size - position || position > UINT32_MAX) return -EMSGSIZE;
  uint8_t* const out = slab + position;
  if ((header.flags & kNeedsChecksum) == 0) {
    if (length > 0) memcpy(out, frame, length);
  } else {
    const size_t start = header.checksum_start;
    const size_t place = start + header.checksum_offset;
    if (place + 2 > length) return -EINVAL;
    Packet packet;
    if (ParsePacket(frame, length, layer3, &packet) && packet.protocol == kSctp && packet.transport == start) {
      // The CRC of SCTP is not this sum. The kernel makes it itself for a device that does not say that it can.
      return -EOPNOTSUPP;
    }
    memcpy(out, frame, start);
    // The place of the checksum holds the pseudo header's sum, so the sum of all is the whole.
    StoreChecksum(out + place, CopyAndSum(0, out + start, frame + start, length - start));
  }
  spans[0] = {static_cast<uint32_t>(position), static_cast<uint32_t>(length)};
  return 1;
}

// Writes the segments of one frame, whose headers differ in a few numbers only.
class Cutter {
 public:
  Cutter(const uint8_t* frame, const OffloadHeader& header, const Cut& cut)
      : frame_(frame), packet_(cut.packet), size_(cut.size), last_(cut.count - 1) {
    const uint8_t* const transport = frame + packet_.transport;
    if ((header.flags & kNeedsChecksum) != 0) {
      // The sender has added up the pseudo header, which holds the length of the whole. With a routing header, its
      // destination is not the one in the IP header. That is why the sum is not made anew.
      const uint32_t whole = packet_.end - packet_.transport;
      transport_sum_ = Raw16(transport + ChecksumOffset(packet_.protocol)) + static_cast<uint16_t>(~AsRaw16(whole));
    } else {
      transport_sum_ = PseudoSum(frame, packet_);
    }
    transport_sum_ = AddToSum(transport_sum_, transport, 4);  // ports
    if (packet_.protocol == kTcp) {
      sequence_ = Load32(transport + 4);
      // All but sequence number, flags and checksum: acknowledgement; window; urgent pointer and options.
      transport_sum_ = AddToSum(transport_sum_, transport + 8, 4) + Raw16(transport + 14);
      transport_sum_ = AddToSum(transport_sum_, transport + 18, packet_.payload - packet_.transport - 18);
    }
    if (packet_.version == 4) {
      const uint8_t* const ip = frame + packet_.network;
      id_ = Load16(ip + 4);
      // All but total length, id and checksum.
      ip_sum_ = AddToSum(Raw16(ip), ip + 6, 4);
      ip_sum_ = AddToSum(ip_sum_, ip + 12, packet_.transport - packet_.network - 12);
    }
  }

  // Returns the length of the segment.
  size_t Write(uint32_t index, uint8_t* out) const {
    const size_t begin = static_cast<size_t>(index) * size_;
    const size_t payload = index < last_ ? size_ : packet_.payload_length() - begin;
    const size_t length = packet_.payload + payload;
    memcpy(out, frame_, packet_.payload);

    uint8_t* const ip = out + packet_.network;
    if (packet_.version == 4) {
      Store16(ip + 2, static_cast<uint16_t>(length - packet_.network));
      Store16(ip + 4, static_cast<uint16_t>(id_ + index));
      const uint64_t sum = ip_sum_ + Raw16(ip + 2) + Raw16(ip + 4);
      const uint16_t checksum = static_cast<uint16_t>(~Fold(sum));
      memcpy(ip + 10, &checksum, sizeof(checksum));
    } else {
      Store16(ip + 4, static_cast<uint16_t>(length - packet_.network - kIpv6Header));
    }

    uint8_t* const transport = out + packet_.transport;
    const size_t transport_length = length - packet_.transport;
    uint64_t sum = transport_sum_ + AsRaw16(transport_length);
    if (packet_.protocol == kTcp) {
      Store32(transport + 4, sequence_ + static_cast<uint32_t>(begin));
      if (index != last_) transport[kTcpFlags] &= static_cast<uint8_t>(~(kFin | kPsh));
      // The sender's window was reduced once (RFC 3168, section 6.1.2), whether or not the header has the bit for ECN.
      if (index != 0) transport[kTcpFlags] &= static_cast<uint8_t>(~kCwr);
      sum += static_cast<uint64_t>(Raw16(transport + 4)) + Raw16(transport + 6) + Raw16(transport + 12);
    } else {
      Store16(transport + 4, static_cast<uint16_t>(transport_length));
      sum += AsRaw16(transport_length);
    }
    sum = CopyAndSum(sum, out + packet_.payload, frame_ + packet_.payload + begin, payload);
    StoreChecksum(transport + ChecksumOffset(packet_.protocol), sum);
    return length;
  }

 private:
  const uint8_t* const frame_;
  const Packet packet_;
  const uint32_t size_;
  const uint32_t last_;
  uint64_t transport_sum_ = 0;
  uint64_t ip_sum_ = 0;
  uint32_t sequence_ = 0;
  uint16_t id_ = 0;
};

}  // namespace

bool IsTaken(const OffloadHeader& header, uint32_t offloads) {
  const bool sums = (offloads & kOffloadChecksum) != 0;
  if ((header.flags & kNeedsChecksum) != 0 && !sums) return false;
  uint32_t wanted = 0;
  switch (header.gso_type & ~kGsoEcn) {
    case kGsoNone:
      return header.gso_type == kGsoNone;
    case kGsoTcp4:
      wanted = kOffloadTso4;
      break;
    case kGsoTcp6:
      wanted = kOffloadTso6;
      break;
    case kGsoUdpL4:
      // The header does not say which IP it is; the kernel has only both or none (drivers/net/tun.c, set_offload).
      wanted = kOffloadUso4 | kOffloadUso6;
      break;
    default:
      return false;
  }
  if ((header.gso_type & kGsoEcn) != 0) wanted |= kOffloadTsoEcn;
  return sums && (offloads & wanted) == wanted;
}

size_t SegmentRoom(const uint8_t* frame, size_t length, bool layer3, const OffloadHeader& header) {
  // Up to the first multiple, wherever it begins.
  constexpr size_t kGap = kFrameAlignment - 1;
  if (length >= kHasHeader) return 0;
  if (header.gso_type == kGsoNone) return kGap + Aligned(length + 1);  // a frame of nothing is one, too
  Cut cut;
  if (PlanCut(frame, length, layer3, header, &cut) != 0) return 0;
  const size_t largest = cut.count > 1 ? cut.size : cut.packet.payload_length();
  return kGap + cut.count * Aligned(cut.packet.payload + largest);
}

int Segment(const uint8_t* frame, size_t length, bool layer3, const OffloadHeader& header, uint8_t* slab, size_t size,
            size_t position, Span* spans, uint32_t max) {
  if (header.gso_type == kGsoNone) {
    if (max == 0) return -E2BIG;
    return CompleteFrame(frame, length, layer3, header, slab, size, position, spans);
  }
  Cut cut;
  const int problem = PlanCut(frame, length, layer3, header, &cut);
  if (problem != 0) return problem;
  if (cut.count > max) return -E2BIG;
  if (position > kMaxAlign) return -EMSGSIZE;
  position = Aligned(position);
  const size_t headers = cut.packet.payload;
  const size_t last = headers + cut.packet.payload_length() - static_cast<size_t>(cut.count - 1) * cut.size;
  const size_t needed = (cut.count - 1) * Aligned(headers + cut.size) + last;
  if (position > size || needed > size - position || size > UINT32_MAX) return -EMSGSIZE;

  const Cutter cutter(frame, header, cut);
  for (uint32_t i = 0; i < cut.count; i++) {
    const size_t written = cutter.Write(i, slab + position);
    spans[i] = {static_cast<uint32_t>(position), static_cast<uint32_t>(written)};
    position = Aligned(position + written);
  }
  return static_cast<int>(cut.count);
}

}  // namespace netkit
