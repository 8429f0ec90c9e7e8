#include "intake.h"

#include <stdlib.h>
#include <string.h>

#include "offload.h"

namespace netkit {

namespace {

// Frames up to this length are moved together in a slab; longer ones stay where they were received.
constexpr size_t kMovedLength = 2048;
// The most that is kept. Only absurd segment sizes make more of one frame.
constexpr size_t kMostKept = 8 << 20;
// More memory than this is given back when nothing is kept.
constexpr size_t kIdleKept = 1 << 20;

constexpr size_t kMacs = 12;
constexpr size_t kTag = 4;

FrameDetail DetailOf(const Arrival& arrival, uint32_t original_length) {
  return {arrival.time, original_length, arrival.flags};
}

}  // namespace

Intake::~Intake() {
  free(memory_);
  free(spans_);
  free(details_);
}

void Intake::Prepare(Arrival& arrival) const {
  OffloadHeader& header = arrival.header;
  // Of a frame that was cut, neither segments nor a checksum can be made.
  if (arrival.length < arrival.original_length || !Unfinished(header)) header = {};
  if (arrival.tag_protocol == 0 || layer3_ || arrival.length < kMacs) return;
  arrival.data -= kTag;
  memmove(arrival.data, arrival.data + kTag, kMacs);
  const uint16_t tag[2] = {__builtin_bswap16(arrival.tag_protocol), __builtin_bswap16(arrival.tag_control)};
  memcpy(arrival.data + kMacs, tag, kTag);
  arrival.length += kTag;
  arrival.original_length += kTag;
  if ((header.flags & kNeedsChecksum) != 0) header.checksum_start += kTag;
  if (header.header_length != 0) header.header_length += kTag;
}

// What goes before a frame, or the checksum that is wanting. False when the header points outside of the frame.
bool Intake::Finish(uint8_t* frame, const Arrival& arrival) const {
  const OffloadHeader& header = arrival.header;
  if (HasHeader(arrival)) {
    memcpy(frame - kOffloadHeaderSize, &header, kOffloadHeaderSize);
    return true;
  }
  if ((header.flags & kNeedsChecksum) == 0) return true;
  const size_t start = header.checksum_start, place = start + header.checksum_offset;
  if (place + 2 > arrival.length) return false;
  // The sum of the pseudo header stands in the checksum's place.
  uint16_t checksum = static_cast<uint16_t>(~Fold(AddToSum(0, frame + start, arrival.length - start)));
  if (checksum == 0) checksum = 0xffff;
  memcpy(frame + place, &checksum, sizeof(checksum));
  return true;
}

bool Intake::Put(uint8_t* memory, size_t position, const Arrival& arrival, Span* span) const {
  const bool header = HasHeader(arrival);
  const size_t offset = position + (header ? kOffloadHeaderSize : 0);
  memmove(memory + offset, arrival.data, arrival.length);
  *span = {static_cast<uint32_t>(offset), arrival.length | (header ? kHasHeader : 0)};
  return Finish(memory + offset, arrival);
}

bool Intake::DeliverHere(const Arrival& arrival, Delivery& delivery) {
  Span span;
  if (arrival.length <= kMovedLength) {
    if (!Put(delivery.slab(), delivery.position(), arrival, &span)) return false;
  } else {
    span = {static_cast<uint32_t>(arrival.data - delivery.slab()),
            arrival.length | (HasHeader(arrival) ? kHasHeader : 0)};
    if (!Finish(arrival.data, arrival)) return false;
  }
  delivery.Add(span, DetailOf(arrival, arrival.original_length));
  return true;
}

bool Intake::Deliver(const Arrival& arrival, Delivery& delivery) {
  if (Cuts(arrival)) {
    const size_t room = SegmentRoom(arrival.data, arrival.length, layer3_, arrival.header);
    if (room == 0) return false;
    if (keeps() || delivery.full() || room > delivery.room()) return KeepSegments(arrival);
    Span* spans = delivery.next_spans();
    const int count =
        Segment(arrival.data, arrival.length, layer3_, arrival.header, delivery.slab(),
                delivery.position() + delivery.room(), delivery.position(), spans, delivery.frames_left());
    if (count == -E2BIG || count == -EMSGSIZE) return KeepSegments(arrival);
    for (int i = 0; i < count; i++) delivery.Add(spans[i], DetailOf(arrival, spans[i].length()));
    return count > 0;
  }
  if (keeps() || delivery.full() || RoomFor(arrival) > delivery.room()) return Keep(arrival);
  Span span;
  if (!Put(delivery.slab(), delivery.position(), arrival, &span)) return false;
  delivery.Add(span, DetailOf(arrival, arrival.original_length));
  return true;
}

bool Intake::Reserve(size_t bytes, size_t frames) {
  if (bytes > kMostKept - used_) return false;
  if (used_ + bytes > capacity_) {
    const size_t capacity = used_ + bytes < 256 * 1024 ? 256 * 1024 : used_ + bytes + (used_ + bytes) / 2;
    uint8_t* memory = static_cast<uint8_t*>(realloc(memory_, capacity));
    if (memory == nullptr) return false;
    memory_ = memory;
    capacity_ = capacity;
  }
  if (end_ + frames > frame_capacity_) {
    const size_t capacity = end_ + frames + (end_ + frames) / 2;
    Span* spans = static_cast<Span*>(realloc(spans_, capacity * sizeof(Span)));
    if (spans != nullptr) spans_ = spans;
    FrameDetail* details = static_cast<FrameDetail*>(realloc(details_, capacity * sizeof(FrameDetail)));
    if (details != nullptr) details_ = details;
    if (spans == nullptr || details == nullptr) return false;
    frame_capacity_ = capacity;
  }
  return true;
}

bool Intake::Keep(const Arrival& arrival) {
  if (!Reserve(RoomFor(arrival), 1) || !Put(memory_, used_, arrival, &spans_[end_])) return false;
  details_[end_] = DetailOf(arrival, arrival.original_length);
  used_ = Delivery::Aligned(spans_[end_].offset + size_t{spans_[end_].length()});
  end_++;
  return true;
}

bool Intake::KeepSegments(const Arrival& arrival) {
  // Each segment takes one step of alignment at least.
  const size_t room = SegmentRoom(arrival.data, arrival.length, layer3_, arrival.header) + kFrameAlignment;
  const size_t most = room / kFrameAlignment;
  if (!Reserve(room, most)) return false;
  const int count = Segment(arrival.data, arrival.length, layer3_, arrival.header, memory_, capacity_, used_,
                            spans_ + end_, static_cast<uint32_t>(most));
  if (count <= 0) return false;
  for (int i = 0; i < count; i++) details_[end_ + i] = DetailOf(arrival, spans_[end_ + i].length());
  end_ += static_cast<size_t>(count);
  used_ = Delivery::Aligned(spans_[end_ - 1].offset + size_t{spans_[end_ - 1].length()});
  return true;
}

void Intake::Drain(Delivery& delivery) {
  for (; first_ < end_ && !delivery.full(); first_++) {
    const Span span = spans_[first_];
    const size_t before = span.has_header() ? kOffloadHeaderSize : 0;
    if (before + span.length() > delivery.room()) return;
    memcpy(delivery.slab() + delivery.position(), memory_ + span.offset - before, before + span.length());
    delivery.Add({static_cast<uint32_t>(delivery.position() + before), span.flagged_length}, details_[first_]);
  }
  if (first_ < end_) return;
  first_ = end_ = used_ = 0;
  if (capacity_ > kIdleKept) {
    free(memory_);
    memory_ = nullptr;
    capacity_ = 0;
  }
}

}  // namespace netkit
