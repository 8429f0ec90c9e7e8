// One direction of a pump: what is read from one end, and what becomes of it until the other end has it.
#ifndef NETKIT_FLOW_H_
#define NETKIT_FLOW_H_

#include "bpf.h"
#include "end.h"
#include "impair.h"
#include "tee_end.h"

namespace netkit {

// Whether segments are joined for a target that takes large frames: never; when they come whole, and as long as it is
// of use; always.
enum class Joining : uint32_t { kNever = 0, kWhereWorth = 1, kAlways = 2 };

struct FlowSettings {
  ImpairSettings impair;
  uint64_t seed = 0;
  bool seeds = false;  // whether `seed` is to be taken
  Joining joining = Joining::kWhereWorth;
  PacketFilter* filter = nullptr;  // of whoever holds the settings
};

// Written by the pump's thread, read by any.
struct FlowCounters {
  std::atomic<uint64_t> frames{0}, bytes{0};  // read from the source
  std::atomic<uint64_t> filtered{0};          // did not match
  std::atomic<uint64_t> refused{0};           // not taken by the target
  std::atomic<uint64_t> lost{0}, duplicated{0}, reordered{0}, corrupted{0}, dropped{0};
  std::atomic<uint64_t> waiting{0}, waiting_bytes{0};  // now, in the impairment
};

// The memory that one batch is read into: less for ends whose frames are whole, so that it stays in the cache.
constexpr size_t kPlainSlab = 512 * 1024;
constexpr size_t kOffloadSlab = 2 * 1024 * 1024;

// Where a tee gets its copies from: bits of a mask.
constexpr uint32_t kTeeWritten = 1;  // when a frame is about to be written
constexpr uint32_t kTeeRead = 2;     // as it was read, before anything else

constexpr uint32_t kMostTees = 8;
struct FlowTee {
  TeeEnd* tee;
  uint32_t points;  // kTee… of this direction
};

// For one thread, but its counters.
class Flow {
 public:
  static constexpr uint32_t kMostFrames = 256;
  enum class Side { kNone, kSource, kTarget };

  // `flags` are those of FrameDetail for the frames of this direction.
  Flow(End& source, End& target, uint32_t flags) : source_(source), target_(target), flags_(flags) {}
  Flow(const Flow&) = delete;
  Flow& operator=(const Flow&) = delete;
  ~Flow() { Retire(); }
  // Lets go of all memory, with the frames in it, which are counted as dropped.
  void Retire();

  // Takes over the settings, and their filter.
  void Set(const FlowSettings& settings);
  // The tees belong to the caller.
  void SetTees(const FlowTee* tees, uint32_t count);

  // One turn: writes what is left of the one before, reads a batch, and writes it. `slab` must be slab() when that is
  // not null. Returns whether there may be more at once.
  bool Turn(uint8_t* slab, size_t size);

  End& source() { return source_; }
  End& target() { return target_; }
  // Frames are left that the target has no room for now.
  bool blocked() const { return start_ < count_; }
  // Where they lie, if that is the slab of the last turn.
  const uint8_t* slab() const { return blocked() ? slab_ : nullptr; }
  // The last turn brought nothing further.
  bool stuck() const { return stuck_; }
  // Nanoseconds of Now(), or Impairment::kNever.
  uint64_t next_due() const { return impairs_ ? impairment_->next_due() : Impairment::kNever; }
  // What ended it: kNone as long as it goes on.
  Side failed() const { return failed_; }
  int error() const { return error_; }
  FlowCounters& counters() { return counters_; }

  static uint64_t Now();

 private:
  uint32_t ReadBatch(uint8_t* slab, size_t size, uint32_t max);
  bool TakeDue(uint8_t* slab, size_t size);
  uint32_t Filter(const uint8_t* slab, uint32_t count);
  void Impair(const uint8_t* slab, uint32_t count);
  void ImpairOne(const uint8_t* frame, Span span, uint64_t now);
  bool MustBeCut(const OffloadHeader& header, size_t length) const;
  void Send(const uint8_t* slab, size_t size, uint32_t count);
  bool TriesToJoin();
  void WriteRest();
  void Copy(const uint8_t* slab, size_t size, uint32_t count, uint32_t point);
  void Fail(Side side, int error);
  void Publish();

  End& source_;
  End& target_;
  const uint32_t flags_;
  PacketFilter* filter_ = nullptr;
  Impairment* impairment_ = nullptr;
  bool impairs_ = false;  // there is something for it to do
  Joining joining_ = Joining::kWhereWorth;
  bool joins_ = false;
  uint32_t vain_ = 0, passed_ = 0;  // batches in which there was nothing to join, and that were not looked at
  FlowTee tees_[kMostTees] = {};
  uint32_t tee_count_ = 0;

  // What is being written.
  const uint8_t* data_ = nullptr;
  size_t size_ = 0;
  const Span* written_spans_ = nullptr;
  uint32_t start_ = 0, count_ = 0;
  const uint8_t* slab_ = nullptr;  // data_, unless that is joined_
  bool stuck_ = false;

  Side failed_ = Side::kNone;
  int error_ = 0;
  uint32_t failures_ = 0;  // of reading, one after the other

  uint8_t* joined_ = nullptr;  // room for what Coalesce() makes
  uint8_t* cut_ = nullptr;     // and for what Segment() makes
  Span* cut_spans_ = nullptr;
  Span spans_[kMostFrames];
  Span joined_spans_[kMostFrames];
  FlowCounters counters_;
};

}  // namespace netkit

#endif  // NETKIT_FLOW_H_
