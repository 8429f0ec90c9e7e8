// What a switch does with frames: whom it learns from, where it sends them, and in which form.
#include "switch.h"

namespace netkit {

namespace {

constexpr uint64_t kBroadcast = 0xffffffffffffu;
constexpr uint64_t kGroupBit = 0x010000000000u;
// 01:80:c2:00:00:00 to 0f: IEEE 802.1D, never forwarded by a bridge.
constexpr uint64_t kReserved = 0x0180c2000000u;

uint64_t AddressAt(const uint8_t* bytes) {
  uint64_t address = 0;
  for (int i = 0; i < 6; i++) address = address << 8 | bytes[i];
  return address;
}

}  // namespace

bool Switch::Learn(uint32_t from, uint64_t key) {
  Port& port = ports_[from];
  SwitchTable::Entry* entry = table_.Find(key);
  if (entry != nullptr) {
    if (entry->port == from) {
      entry->seen = now_;
      return true;
    }
    // A fixed address is nobody else's.
    if (entry->fixed) {
      Count(from, PortCounters::kFiltered, 1);
      return false;
    }
    if (!port.settings.learning) return true;
    if (port.settings.address_limit != 0 && port.addresses >= port.settings.address_limit) {
      Count(from, PortCounters::kOverLimit, 1);
      return false;
    }
    ports_[entry->port].addresses--;
    TellAddresses(entry->port);
    entry->port = static_cast<uint16_t>(from);
    entry->seen = now_;
    port.addresses++;
    TellAddresses(from);
    Count(from, PortCounters::kMoves, 1);
    return true;
  }
  if (!port.settings.learning) return true;
  if (port.settings.address_limit != 0 && port.addresses >= port.settings.address_limit) {
    Count(from, PortCounters::kOverLimit, 1);
    return false;
  }
  if (table_.Add(key, static_cast<uint16_t>(from), now_, false) == nullptr) {
    Count(from, PortCounters::kTableFull, 1);
  } else {
    port.addresses++;
    TellAddresses(from);
  }
  return true;
}

// Before a frame is looked at: two copies are made of it at most. What was copied goes out, and its place is free.
void Switch::MakeRoom() {
  constexpr size_t kTwice = 2 * (kFrameRoom + kFrameAlignment);
  static_assert(kTwice <= kCopies);
  if (kSlab + kCopies - copies_ >= kTwice) return;
  WriteAll();
  copies_ = kSlab;
}

// Makes `other`: the tag put in where there is none, taken out where there is one.
bool Switch::Copy(Passing& frame) {
  const size_t length = frame.span.length();
  const size_t made = frame.tagged ? length - 4 : length + 4;
  const size_t header = frame.span.has_header() ? kOffloadHeaderSize : 0;
  const size_t at = copies_;
  if (kSlab + kCopies - at < header + made) return false;  // MakeRoom() has seen to it that this is not so
  const uint8_t* source = slab_ + frame.span.offset;
  uint8_t* target = slab_ + at + header;
  if (header != 0) {
    OffloadHeader work;
    memcpy(&work, source - header, sizeof(work));
    const int shift = frame.tagged ? -4 : 4;
    if (work.header_length != 0) work.header_length = static_cast<uint16_t>(work.header_length + shift);
    if ((work.flags & kNeedsChecksum) != 0) work.checksum_start = static_cast<uint16_t>(work.checksum_start + shift);
    memcpy(target - header, &work, sizeof(work));
  }
  memcpy(target, source, 12);
  if (frame.tagged) {
    memcpy(target + 12, source + 16, length - 16);
  } else {
    target[12] = 0x81;
    target[13] = 0x00;
    target[14] = static_cast<uint8_t>(frame.tag >> 8);
    target[15] = static_cast<uint8_t>(frame.tag);
    memcpy(target + 16, source + 12, length - 12);
  }
  frame.other.offset = static_cast<uint32_t>(at + header);
  frame.other.flagged_length = static_cast<uint32_t>(made) | (header != 0 ? kHasHeader : 0);
  frame.copied = true;
  copies_ = (at + header + made + kFrameAlignment - 1) & ~(kFrameAlignment - 1);
  if (copies_ > kSlab + kCopies) copies_ = kSlab + kCopies;
  return true;
}

// Which VLAN a frame belongs to. False when the port does not carry it.
bool Switch::Classify(uint32_t from, Passing& frame, uint16_t* vlan) {
  const PortSettings& settings = ports_[from].settings;
  const uint8_t* bytes = slab_ + frame.span.offset;
  frame.tagged = frame.span.length() >= 18 && bytes[12] == 0x81 && bytes[13] == 0x00;
  frame.tag = frame.tagged ? static_cast<uint16_t>(bytes[14] << 8 | bytes[15]) : settings.vlan;
  *vlan = frame.tag & (kVlans - 1);
  if (frame.tagged && *vlan == 0) {
    // A priority without a VLAN: the frame goes on as if without a tag.
    if (settings.vlan == 0 || !Copy(frame)) return false;
    frame.span = frame.other;
    frame.copied = frame.tagged = false;
    *vlan = settings.vlan;
    frame.tag = static_cast<uint16_t>((frame.tag & 0xf000) | settings.vlan);
    return true;
  }
  if (!frame.tagged) return settings.vlan != 0;
  return *vlan == settings.vlan || settings.carries(*vlan);
}

bool Switch::TakeFlood(Port& port, uint64_t destination) {
  return destination == kBroadcast ? port.broadcast.Take(now_) : port.flood.Take(now_);
}

bool Switch::Deliver(uint32_t from, uint32_t to, uint16_t vlan, Passing& frame) {
  Port& port = ports_[to];
  if (to == from || port.end == nullptr || port.error != 0) return false;
  if (port.settings.isolated && ports_[from].settings.isolated) return false;
  bool copy = false;
  if (options_.vlans) {
    const bool untagged = port.settings.vlan == vlan;
    if (!untagged && !port.settings.carries(vlan)) return false;
    copy = untagged == frame.tagged;
    if (copy && !frame.copied && !Copy(frame)) return false;
  }
  const Span& span = copy ? frame.other : frame.span;
  port.out[port.out_count++] = span;
  port.out_bytes += span.length();
  return true;
}

void Switch::Forward(uint32_t from, uint32_t count) {
  Port& port = ports_[from];
  uint64_t bytes = 0, flooded = 0, filtered = 0, invalid = 0, over = 0;
  for (uint32_t i = 0; i < count; i++) {
    MakeRoom();
    Passing frame = {spans_[i], 0, false, false, {}};
    bytes += frame.span.length();
    const uint8_t* data = slab_ + frame.span.offset;
    if (frame.span.length() < 14) {
      invalid++;
      continue;
    }
    const uint64_t destination = AddressAt(data);
    const uint64_t source = AddressAt(data + 6);
    if (source == 0 || (source & kGroupBit) != 0) {
      invalid++;
      continue;
    }
    uint16_t vlan = 0;
    if ((destination & ~uint64_t{0xf}) == kReserved || (options_.vlans && !Classify(from, frame, &vlan))) {
      filtered++;
      continue;
    }
    if (!Learn(from, SwitchTable::Key(vlan, source))) continue;
    if ((destination & kGroupBit) == 0) {
      const SwitchTable::Entry* entry = table_.Find(SwitchTable::Key(vlan, destination));
      if (entry != nullptr && (entry->fixed || options_.ageing == 0 || now_ - entry->seen < options_.ageing)) {
        if (!Deliver(from, entry->port, vlan, frame)) filtered++;
        continue;
      }
    }
    if (!TakeFlood(port, destination)) {
      over++;
      continue;
    }
    bool any = false;
    for (uint32_t to = 0; to < highest_; to++) any |= Deliver(from, to, vlan, frame);
    any ? flooded++ : filtered++;
  }
  if (flooded != 0) Count(from, PortCounters::kFlooded, flooded);
  if (filtered != 0) Count(from, PortCounters::kFiltered, filtered);
  if (invalid != 0) Count(from, PortCounters::kInvalid, invalid);
  if (over != 0) Count(from, PortCounters::kOverLimit, over);
  WriteAll();
  copies_ = kSlab;
  // Last: what is counted as come in has gone where it was to go.
  Count(from, PortCounters::kBytesIn, bytes);
  Count(from, PortCounters::kFramesIn, count);
}

void Switch::WriteAll() {
  for (uint32_t to = 0; to < highest_; to++) {
    Port& port = ports_[to];
    if (port.out_count == 0) continue;
    const uint32_t count = port.out_count;
    const EndCounterSet& counters = port.end->counters();
    const uint64_t refused_before = counters.refused.load(std::memory_order_relaxed);
    const uint64_t bytes_before = counters.bytes_written.load(std::memory_order_relaxed);
    const int result = WriteFrames(*port.end, slab_, kSlab + kCopies, port.out, count);
    const uint32_t dealt = result > 0 ? static_cast<uint32_t>(result) : 0;
    uint64_t bytes = port.out_bytes;
    for (uint32_t i = dealt; i < count; i++) bytes -= port.out[i].length();
    port.out_count = 0;
    port.out_bytes = 0;
    // Of a frame that was cut, each segment is refused for itself.
    uint64_t refused = counters.refused.load(std::memory_order_relaxed) - refused_before;
    if (refused > dealt) refused = dealt;
    if (refused != 0) {
      const uint64_t written = counters.bytes_written.load(std::memory_order_relaxed) - bytes_before;
      if (written < bytes) bytes = written;
    }
    Count(to, PortCounters::kFramesOut, dealt - refused);
    Count(to, PortCounters::kBytesOut, bytes);
    // A switch does not wait: one port that is slow would hold up all.
    if (dealt < count || refused != 0) Count(to, PortCounters::kDroppedOut, count - dealt + refused);
    if (result < 0 && result != -EAGAIN && result != -ENOBUFS) Fail(to, result);
    if (port.error == 0 && port.end->wants_write()) {
      const int flushed = port.end->Flush();
      if (flushed != 0 && flushed != -EAGAIN) Fail(to, flushed);
    }
  }
}

}  // namespace netkit
