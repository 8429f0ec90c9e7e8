// Joining of frames that follow each other in one flow to large ones.
#include <errno.h>

#include "checksum.h"
#include "packet.h"

namespace netkit {

namespace {

// So many frames are looked at together.
constexpr uint32_t kChunk = 1024;
constexpr uint16_t kNone = 0xffff;
static_assert(kChunk < kNone, "an index has 16 bits");
// The kernel's limit of datagrams a send (linux/udp.h, UDP_MAX_SEGMENTS).
constexpr uint32_t kMostDatagrams = 128;
// Of an IP packet.
constexpr uint32_t kMostBytes = 65535;

size_t Aligned(size_t position) { return (position + kFrameAlignment - 1) & ~(kFrameAlignment - 1); }

// A frame of the chunk. The first of a run, which may be all of it, says what is known of the run.
struct Item {
  const uint8_t* frame;
  uint32_t length;
  uint16_t header_size;  // 0, or kOffloadHeaderSize right before the frame
  uint16_t next;         // of the run
  bool first;

  uint16_t last;
  uint16_t network;
  uint16_t transport;
  uint16_t payload;  // where it begins, in every frame of the run
  uint16_t next_id;  // IPv4
  uint8_t version;
  uint8_t protocol;
  uint32_t count;
  uint32_t size;   // payload of the first frame
  uint32_t bytes;  // payload of all
  uint32_t next_sequence;
};

// Whether a frame may be part of a larger one at all: nothing about it is special, and its checksums are right.
bool IsJoinable(const uint8_t* frame, size_t length, const Packet& packet) {
  if (packet.fragment || !packet.plain || packet.end != length || packet.payload_length() == 0) return false;
  const uint8_t* const ip = frame + packet.network;
  // The reserved bit.
  if (packet.version == 4 && ((ip[6] & 0x80) != 0 || Fold(AddToSum(0, ip, kIpv4Header)) != 0xffff)) return false;
  const uint8_t* const transport = frame + packet.transport;
  const uint32_t transport_length = packet.end - packet.transport;
  if (packet.protocol == kTcp) {
    if ((transport[12] & 0x0f) != 0 || (transport[kTcpFlags] & ~kPsh) != kAck) return false;
  } else if (packet.protocol == kUdp) {
    // Without a checksum it would have one after it is cut again.
    if (Load16(transport + 4) != transport_length || Raw16(transport + kUdpChecksum) == 0) return false;
  } else {
    return false;
  }
  const uint64_t pseudo = PseudoSum(frame, packet) + AsRaw16(transport_length);
  return Fold(AddToSum(pseudo, transport, transport_length)) == 0xffff;
}

bool Same(const uint8_t* a, const uint8_t* b, size_t from, size_t to) {
  return memcmp(a + from, b + from, to - from) == 0;
}

// Whether the headers are those of the run, but for what differs from segment to segment. The numbers of `packet` are
// those of the run's first frame.
bool SameHeaders(const Item& run, const uint8_t* frame, const Packet& packet) {
  const uint8_t* const head = run.frame;
  if (!Same(head, frame, 0, packet.network)) return false;
  const uint8_t* const a = head + packet.network;
  const uint8_t* const b = frame + packet.network;
  if (packet.version == 4) {
    // Not length, id and checksum.
    if (!Same(a, b, 0, 2) || !Same(a, b, 6, 10) || !Same(a, b, 12, kIpv4Header)) return false;
    const bool whole = (b[6] & 0x40) != 0;
    // The id of what must not be fragmented means nothing (RFC 6864, section 4).
    if (!whole && Load16(b + 4) != run.next_id) return false;
  } else if (!Same(a, b, 0, 4) || !Same(a, b, 6, kIpv6Header)) {
    return false;
  }
  const uint8_t* const c = head + packet.transport;
  const uint8_t* const d = frame + packet.transport;
  if (!Same(c, d, 0, 4)) return false;
  if (packet.protocol == kUdp) return true;
  // Not sequence number, flags and checksum.
  return Same(c, d, 8, 13) && Same(c, d, 14, 16) && Same(c, d, 18, packet.payload - packet.transport);
}

// A number for the flow: the same for frames of one flow, another one most likely for others.
uint64_t FlowOf(const uint8_t* frame, const Packet& packet) {
  const uint8_t* const ip = frame + packet.network;
  uint64_t words[5] = {packet.protocol, 0, 0, 0, 0};
  if (packet.version == 4) {
    memcpy(&words[1], ip + 12, 8);
  } else {
    memcpy(&words[1], ip + 8, 32);
  }
  uint32_t ports;
  memcpy(&ports, frame + packet.transport, sizeof(ports));
  uint64_t flow = ports;
  for (const uint64_t word : words) {
    flow = (flow ^ word) * 0x9e3779b97f4a7c15u;
    flow ^= flow >> 29;
  }
  return flow;
}

// The runs that may grow. What is not found any more only ends its run: flows never share one, and none overtakes
// itself, as each frame either joins its flow's last run or takes its place.
class Runs {
 public:
  Runs() { Clear(); }

  void Clear() {
    for (Entry& entry : entries_) entry.item = kNone;
  }

  // The place of a flow: `item` is kNone when it has no run.
  uint16_t& Find(uint64_t flow) {
    Entry* const set = entries_ + (flow >> 59) * kWays;
    for (uint32_t i = 0; i < kWays; i++) {
      if (set[i].item != kNone && set[i].flow == flow) return set[i].item;
    }
    for (uint32_t i = 0; i < kWays; i++) {
      if (set[i].item == kNone) return Take(set[i], flow);
    }
    return Take(set[turn_++ % kWays], flow);
  }

 private:
  static constexpr uint32_t kWays = 4;
  static constexpr uint32_t kSets = 32;  // as many as the highest 5 bits name
  struct Entry {
    uint64_t flow;
    uint16_t item;
  };

  static uint16_t& Take(Entry& entry, uint64_t flow) {
    entry.flow = flow;
    entry.item = kNone;
    return entry.item;
  }

  Entry entries_[kWays * kSets];
  uint32_t turn_ = 0;
};

// The frames of one chunk: first sorted into runs, then written.
class Chunk {
 public:
  Chunk(bool layer3, uint32_t offloads) : layer3_(layer3) {
    const auto takes = [offloads](uint8_t type) { return IsTaken({kNeedsChecksum, type, 0, 0, 0, 0}, offloads); };
    takes_tcp4_ = takes(kGsoTcp4);
    takes_tcp6_ = takes(kGsoTcp6);
    takes_udp_ = takes(kGsoUdpL4);
  }

  // Returns 0, or -EINVAL when a span lies.
  int Add(const uint8_t* slab, size_t slab_size, const Span& span) {
    const size_t header_size = span.has_header() ? kOffloadHeaderSize : 0;
    if (span.offset > slab_size || span.length() > slab_size - span.offset || span.offset < header_size) return -EINVAL;
    const uint16_t index = static_cast<uint16_t>(count_++);
    Item& item = items_[index];
    item.frame = slab + span.offset;
    item.length = span.length();
    item.header_size = static_cast<uint16_t>(header_size);
    item.next = kNone;
    item.first = true;
    item.count = 1;

    Packet packet;
    if (!ParsePacket(item.frame, item.length, layer3_, &packet) || packet.fragment ||
        (packet.protocol != kTcp && packet.protocol != kUdp)) {
      // It may be of any flow: a fragment of a datagram, for one.
      runs_.Clear();
      return 0;
    }
    uint16_t& place = runs_.Find(FlowOf(item.frame, packet));
    if (!IsWanted(item, packet) || !IsJoinable(item.frame, item.length, packet)) {
      place = kNone;
      return 0;
    }
    const bool pushes = packet.protocol == kTcp && (item.frame[packet.transport + kTcpFlags] & kPsh) != 0;
    if (place != kNone && Join(items_[place], index, packet)) {
      const Item& run = items_[place];
      if (pushes || packet.payload_length() < run.size) place = kNone;
      return 0;
    }
    Begin(item, index, packet);
    place = pushes ? kNone : index;
    return 0;
  }

  // Returns how many frames were written, or -EMSGSIZE.
  int Write(uint8_t* out, size_t size, size_t* position, Span* spans, uint32_t max) const {
    uint32_t written = 0;
    for (uint32_t i = 0; i < count_; i++) {
      const Item& item = items_[i];
      if (!item.first) continue;
      const size_t header_size = item.count > 1 ? kOffloadHeaderSize : item.header_size;
      const size_t length = item.count > 1 ? item.payload + item.bytes : item.length;
      const size_t begin = Aligned(*position);
      if (written == max || begin > size || header_size + length > size - begin) return -EMSGSIZE;
      const size_t offset = begin + header_size;
      if (item.count > 1) {
        WriteRun(item, out + begin, out + offset);
      } else if (header_size + length > 0) {
        memcpy(out + begin, item.frame - header_size, header_size + length);
      }
      spans[written++] = {static_cast<uint32_t>(offset),
                          static_cast<uint32_t>(length) | (header_size > 0 ? kHasHeader : 0)};
      *position = offset + length;
    }
    return static_cast<int>(written);
  }

 private:
  // Whether the writer takes large frames of this kind, and this is not one already.
  bool IsWanted(const Item& item, const Packet& packet) const {
    const bool takes_tcp = packet.version == 4 ? takes_tcp4_ : takes_tcp6_;
    if (packet.protocol == kTcp ? !takes_tcp : !takes_udp_) return false;
    if (item.header_size == 0) return true;
    OffloadHeader header;
    memcpy(&header, item.frame - kOffloadHeaderSize, sizeof(header));
    return header.gso_type == kGsoNone && (header.flags & kNeedsChecksum) == 0;
  }

  static void Begin(Item& item, uint16_t index, const Packet& packet) {
    item.last = index;
    // A joinable frame has no extension headers, so all of these are small.
    item.network = static_cast<uint16_t>(packet.network);
    item.transport = static_cast<uint16_t>(packet.transport);
    item.payload = static_cast<uint16_t>(packet.payload);
    item.version = packet.version;
    item.protocol = packet.protocol;
    item.size = packet.payload_length();
    item.bytes = item.size;
    item.next_id = packet.version == 4 ? static_cast<uint16_t>(Load16(item.frame + packet.network + 4) + 1) : 0;
    item.next_sequence = packet.protocol == kTcp ? Load32(item.frame + packet.transport + 4) + item.size : 0;
  }

  bool Join(Item& run, uint16_t index, const Packet& packet) {
    Item& item = items_[index];
    const uint32_t bytes = packet.payload_length();
    if (run.network != packet.network || run.transport != packet.transport || run.payload != packet.payload ||
        run.version != packet.version || run.protocol != packet.protocol || bytes > run.size ||
        run.payload - run.network + run.bytes + bytes > kMostBytes) {
      return false;
    }
    if (run.protocol == kUdp && run.count == kMostDatagrams) return false;
    if (run.protocol == kTcp && Load32(item.frame + packet.transport + 4) != run.next_sequence) return false;
    if (!SameHeaders(run, item.frame, packet)) return false;
    items_[run.last].next = index;
    item.first = false;
    run.last = index;
    run.count++;
    run.bytes += bytes;
    run.next_sequence += bytes;
    run.next_id++;
    return true;
  }

  void WriteRun(const Item& run, uint8_t* out_header, uint8_t* out) const {
    const bool tcp = run.protocol == kTcp;
    const uint16_t checksum_offset = tcp ? kTcpChecksum : kUdpChecksum;
    OffloadHeader header = {};
    header.flags = kNeedsChecksum;
    header.gso_type = !tcp ? kGsoUdpL4 : run.version == 4 ? kGsoTcp4 : kGsoTcp6;
    header.header_length = run.payload;
    header.gso_size = static_cast<uint16_t>(run.size);
    header.checksum_start = run.transport;
    header.checksum_offset = checksum_offset;
    memcpy(out_header, &header, sizeof(header));

    memcpy(out, run.frame, run.payload);
    const Item* item = &run;
    for (size_t at = run.payload;;) {
      // Of a joinable frame, the payload is the rest.
      memcpy(out + at, item->frame + run.payload, item->length - run.payload);
      at += item->length - run.payload;
      if (item->next == kNone) break;
      item = &items_[item->next];
    }

    uint8_t* const ip = out + run.network;
    const uint32_t end = run.payload + run.bytes;
    if (run.version == 4) {
      Store16(ip + 2, static_cast<uint16_t>(end - run.network));
      Store16(ip + 10, 0);
      const uint16_t checksum = static_cast<uint16_t>(~Fold(AddToSum(0, ip, kIpv4Header)));
      memcpy(ip + 10, &checksum, sizeof(checksum));
    } else {
      Store16(ip + 4, static_cast<uint16_t>(end - run.network - kIpv6Header));
    }
    uint8_t* const transport = out + run.transport;
    if (tcp) {
      // The last frame may push, and the others have the same flags.
      transport[kTcpFlags] = item->frame[run.transport + kTcpFlags];
    } else {
      Store16(transport + 4, static_cast<uint16_t>(end - run.transport));
    }
    Packet packet = {};
    packet.network = run.network;
    packet.version = run.version;
    packet.protocol = run.protocol;
    const uint16_t pseudo = Fold(PseudoSum(out, packet) + AsRaw16(end - run.transport));
    memcpy(transport + checksum_offset, &pseudo, sizeof(pseudo));
  }

  const bool layer3_;
  bool takes_tcp4_, takes_tcp6_, takes_udp_;
  uint32_t count_ = 0;
  Runs runs_;
  Item items_[kChunk];
};

}  // namespace

int Coalesce(const uint8_t* slab, size_t slab_size, const Span* spans, uint32_t count, bool layer3, uint32_t offloads,
             uint8_t* out, size_t out_size, size_t position, Span* spans_out, uint32_t max_out) {
  if (position > SIZE_MAX - kFrameAlignment || out_size > UINT32_MAX) return -EMSGSIZE;
  uint32_t written = 0;
  for (uint32_t i = 0; i < count;) {
    Chunk chunk(layer3, offloads);
    for (uint32_t end = count - i > kChunk ? i + kChunk : count; i < end; i++) {
      const int error = chunk.Add(slab, slab_size, spans[i]);
      if (error != 0) return error;
    }
    const int result = chunk.Write(out, out_size, &position, spans_out + written, max_out - written);
    if (result < 0) return result;
    written += static_cast<uint32_t>(result);
  }
  return static_cast<int>(written);
}

}  // namespace netkit
