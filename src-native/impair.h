// A poor link for frames: lost, doubled, damaged, late, overtaken, or no faster than a rate.
#ifndef NETKIT_IMPAIR_H_
#define NETKIT_IMPAIR_H_

#include <stddef.h>
#include <stdint.h>

#include "frame.h"

namespace netkit {

// What a link does to its frames. Chances are of 2^32 - 1, which is always.
struct ImpairSettings {
  uint32_t loss = 0;
  uint32_t duplicate = 0;
  uint32_t reorder = 0;       // goes without the delay, before those that are delayed
  uint32_t corrupt = 0;       // one bit
  uint64_t delay = 0;         // nanoseconds
  uint64_t jitter = 0;        // more or less than `delay`
  uint64_t rate = 0;          // bits per second; 0: as fast as they come
  uint64_t burst = 0;         // bytes that may go at once after a rest
  uint64_t limit_frames = 0;  // that may wait
  uint64_t limit_bytes = 0;

  // Whether frames are to wait for anything.
  bool holds() const { return delay != 0 || jitter != 0 || rate != 0; }
  // Whether there is anything to do.
  bool any() const { return holds() || per_packet(); }
  // Whether something befalls single packets, so that a frame of many segments has to be cut before.
  bool per_packet() const { return (loss | duplicate | reorder | corrupt) != 0; }
};

// Numbers that are the same for the same seed (splitmix64).
class Chances {
 public:
  void Seed(uint64_t seed) { state_ = seed; }
  uint64_t Next();
  bool Happens(uint32_t chance);
  // From 0 to `most`.
  uint64_t UpTo(uint64_t most);

 private:
  uint64_t state_ = 0;
};

// The link: frames are copied in, and out again when they are due. First each waits until the rate lets it go, then the
// delay begins. Nothing but `reorder` changes the order. For one thread; times are nanoseconds of one clock.
class Impairment {
 public:
  // Since the beginning; `frames` and `bytes` are of what waits now.
  struct Counters {
    uint64_t lost = 0, duplicated = 0, reordered = 0, corrupted = 0;
    uint64_t dropped = 0;  // no room: limit_frames, limit_bytes, or no memory
    uint64_t frames = 0, bytes = 0;
  };

  Impairment() = default;
  Impairment(const Impairment&) = delete;
  Impairment& operator=(const Impairment&) = delete;
  ~Impairment() { Clear(); }

  // Frames that wait already keep the delay that they were given, and go at the new rate.
  void Set(const ImpairSettings& settings, uint64_t now);
  void Seed(uint64_t seed) { chances_.Seed(seed); }
  const ImpairSettings& settings() const { return settings_; }

  // Takes a copy of a frame. `header` may be null.
  void Push(const uint8_t* frame, size_t length, const OffloadHeader* header, uint64_t now);
  // Copies the frames that are due into `slab`, from its beginning on. Returns how many.
  uint32_t Take(uint64_t now, uint8_t* slab, size_t size, Span* spans, uint32_t max);
  // When Take() has something again, as far as is known after the last one. kNever when nothing waits.
  uint64_t next_due() const;
  static constexpr uint64_t kNever = UINT64_MAX;

  const Counters& counters() const { return counters_; }
  // Forgets what waits.
  void Clear();

 private:
  struct Waiting;
  struct Queue {
    Waiting* first = nullptr;
    Waiting* last = nullptr;
    void Push(Waiting* frame);
    Waiting* Pop();
  };

  Waiting* Copy(const uint8_t* frame, size_t length, const OffloadHeader* header);
  void Damage(uint8_t* frame, size_t length);
  uint64_t Cost(uint64_t length, uint64_t* rest) const;
  void Depart(uint64_t now);
  void Delay(Waiting* frame, uint64_t from);

  ImpairSettings settings_;
  Chances chances_;
  Counters counters_;
  Queue for_rate_;             // in order of arrival
  Queue delayed_, undelayed_;  // in order of when they are due
  uint64_t departure_ = 0;     // when the first of for_rate_ may go
  uint64_t burst_time_ = 0;    // what `burst` takes at the rate
  uint64_t full_at_ = 0;       // when the bucket would be full again
  uint64_t rest_ = 0;          // of a nanosecond, not yet counted: parts of the rate
  uint64_t last_due_ = 0;
};

}  // namespace netkit

#endif  // NETKIT_IMPAIR_H_
