// Frames from one end to the other and back, on a thread of their own.
#ifndef NETKIT_PUMP_H_
#define NETKIT_PUMP_H_

#include <poll.h>
#include <pthread.h>

#include "flow.h"

namespace netkit {

// Counted by reference. Two ends, A and B; the flow forward is from A to B. Each end must be nobody else's to read and
// to write while it runs.
class Pump {
 public:
  enum Direction : uint32_t { kForward = 0, kBackward = 1 };

  // How it ended.
  struct Outcome {
    int error = 0;  // 0: it was stopped. Else a negated errno,
    int end = 0;    // of this end: 0 is A, 1 is B
    bool in_write = false;
  };

  // `directions` is a mask of 1 << Direction. Null, with *error set to a negated errno, when it cannot be made.
  static Pump* Create(End& a, End& b, uint32_t directions, uint64_t spin, int* error);

  Pump(const Pump&) = delete;
  Pump& operator=(const Pump&) = delete;

  void Ref() { references_.fetch_add(1, std::memory_order_relaxed); }
  void Unref() {
    if (references_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
  }

  // Until it is stopped, or an end fails.
  void Run();

  // When Run() has returned, or will never be called: lets go of memory, descriptor and ends. The counters stay.
  void Retire();

  // From the thread that calls Retire(); each takes effect within a batch.
  void Stop();
  void Pause(bool paused);
  // Takes over the filter in the settings.
  void Set(Direction direction, const FlowSettings& settings);
  // `points`: kTee… bits of the frames forward, and above these, by kTeeShift, of those backward. 0 takes the tee away.
  // Returns 0, or -ENOSPC when there are too many.
  int SetTee(TeeEnd& tee, uint32_t points);
  static constexpr uint32_t kTeeShift = 4;

  bool layer3() const { return layer3_; }
  FlowCounters& counters(Direction direction) { return flows_[direction].counters(); }
  // After Run().
  const Outcome& outcome() const { return outcome_; }

 private:
  struct Tee {
    TeeEnd* tee;
    uint32_t points;
  };
  enum State : uint32_t { kStopped = 1, kPaused = 2, kChanged = 4 };

  Pump(End& a, End& b, uint32_t directions, uint64_t spin);
  ~Pump();

  void Tell(uint32_t set, uint32_t clear);
  void TakeChanges();
  bool TurnAll();
  bool Waits() const;
  void Wait(bool paused, bool more);
  int Spin(pollfd* polled, uint64_t until) const;
  uint64_t Prepare(pollfd* polled);
  void Answer(int end, short seen);
  void Examine(int end);
  void Over(int end, int error, bool in_write);
  uint8_t* SlabFor(uint32_t direction);

  bool active(uint32_t direction) const { return (directions_ & 1u << direction) != 0; }

  End* ends_[2];  // null when retired
  const bool layer3_;
  const uint32_t directions_;
  const uint64_t spin_;  // nanoseconds to poll without sleeping before it sleeps
  Flow flows_[2];
  int wake_ = -1;  // an eventfd
  size_t slab_size_ = 0;
  uint8_t* slabs_[2] = {};  // the second is touched only while the first holds what could not be written
  bool ready_[2] = {true, true};
  uint64_t retry_at_[2] = {};       // when to try again what polls writable, and is not
  uint64_t rests_until_[2] = {};    // this end is not polled before
  uint64_t look_at_[2] = {};        // when an end is read again that nothing may tell of
  bool unheard_[2] = {};            // nothing is to be learnt from polling this end, which nobody reads
  uint32_t empty_errors_[2] = {};   // polls with an error in a row that reading did not find
  uint64_t frames_before_[2] = {};  // what had been read at the last of them
  Outcome outcome_;
  Tee running_tees_[kMostTees] = {};
  uint32_t running_tee_count_ = 0;

  pthread_mutex_t mutex_ = PTHREAD_MUTEX_INITIALIZER;
  // Guarded by mutex_.
  FlowSettings changed_[2];
  bool has_changed_[2] = {};
  Tee tees_[kMostTees] = {};
  uint32_t tee_count_ = 0;

  std::atomic<uint32_t> state_{0};
  std::atomic<uint32_t> references_{1};
};

}  // namespace netkit

#endif  // NETKIT_PUMP_H_
