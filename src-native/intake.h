// What a packet socket hands over, on its way into a slab: VLAN tags that the kernel took off are put back, and what
// offload left undone is done, if frames are to be whole.
#ifndef NETKIT_INTAKE_H_
#define NETKIT_INTAKE_H_

#include "end.h"

namespace netkit {

// FrameDetail.flags
constexpr uint32_t kInbound = 1;
constexpr uint32_t kOutbound = 2;
// The protocol of a VLAN tag, where the kernel does not say it (IEEE 802.1Q).
constexpr uint16_t kVlanProtocol = 0x8100;

struct Arrival {
  // The frame and kHeadroom bytes before it may be changed.
  uint8_t* data;
  uint32_t length;
  // More than `length` when a filter cut the frame.
  uint32_t original_length;
  OffloadHeader header;
  // The VLAN tag: protocol and control information. Without a protocol there is none.
  uint16_t tag_protocol;
  uint16_t tag_control;
  uint64_t time;
  uint32_t flags;
};

// One call of End::Read().
class Delivery {
 public:
  Delivery(uint8_t* slab, size_t size, size_t position, Span* spans, uint32_t max, FrameDetail* details)
      : slab_(slab), size_(size), position_(Aligned(position)), spans_(spans), max_(max), details_(details) {}

  static size_t Aligned(size_t position) { return (position + kFrameAlignment - 1) & ~(kFrameAlignment - 1); }

  uint8_t* slab() { return slab_; }
  size_t position() const { return position_; }
  uint32_t count() const { return count_; }
  bool full() const { return count_ == max_; }
  uint32_t frames_left() const { return max_ - count_; }
  size_t room() const { return position_ <= size_ ? size_ - position_ : 0; }
  // For spans that are written first, and then counted by Add().
  Span* next_spans() { return spans_ + count_; }

  void Add(const Span& span, const FrameDetail& detail) {
    spans_[count_] = span;
    if (details_ != nullptr) details_[count_] = detail;
    count_++;
    position_ = Aligned(span.offset + size_t{span.length()});
  }

 private:
  uint8_t* const slab_;
  const size_t size_;
  size_t position_;
  Span* const spans_;
  const uint32_t max_;
  FrameDetail* const details_;
  uint32_t count_ = 0;
};

// For one thread at a time, as Read().
class Intake {
 public:
  static constexpr size_t kHeadroom = 16;

  // `offload`: headers are passed on; otherwise all frames become whole ones.
  Intake(bool layer3, bool offload) : layer3_(layer3), offload_(offload) {}
  Intake(const Intake&) = delete;
  Intake& operator=(const Intake&) = delete;
  ~Intake();

  // Whether frames are kept that had no room in a slab.
  bool keeps() const { return first_ < end_; }
  // Hands over what is kept.
  void Drain(Delivery& delivery);

  // To be called once for an arrival: puts its tag back, and forgets a header that says nothing.
  void Prepare(Arrival& arrival) const;
  // Whether it will become more than one frame.
  bool Cuts(const Arrival& arrival) const { return !offload_ && arrival.header.gso_type != kGsoNone; }
  // Whether it can be handed over as it is, in this much room.
  static size_t RoomFor(const Arrival& arrival) { return kOffloadHeaderSize + size_t{arrival.length}; }

  // Hands over an arrival from memory that is not the slab. What has no room is kept. False: it is lost.
  bool Deliver(const Arrival& arrival, Delivery& delivery);
  // The same for one that lies in the slab at or behind the delivery's position plus kFrameAlignment, and is not cut.
  bool DeliverHere(const Arrival& arrival, Delivery& delivery);

 private:
  bool HasHeader(const Arrival& arrival) const { return offload_ && Unfinished(arrival.header); }
  static bool Unfinished(const OffloadHeader& header) {
    return header.gso_type != kGsoNone || (header.flags & kNeedsChecksum) != 0;
  }
  bool Finish(uint8_t* frame, const Arrival& arrival) const;
  bool Put(uint8_t* memory, size_t position, const Arrival& arrival, Span* span) const;
  bool Keep(const Arrival& arrival);
  bool KeepSegments(const Arrival& arrival);
  bool Reserve(size_t bytes, size_t frames);

  const bool layer3_;
  const bool offload_;
  // Frames that are kept, as in a slab of our own.
  uint8_t* memory_ = nullptr;
  size_t capacity_ = 0;
  size_t used_ = 0;
  Span* spans_ = nullptr;
  FrameDetail* details_ = nullptr;
  size_t frame_capacity_ = 0;
  size_t first_ = 0;
  size_t end_ = 0;
};

}  // namespace netkit

#endif  // NETKIT_INTAKE_H_
