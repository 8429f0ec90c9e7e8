// A packet end: anything that frames come out of and go into. One interface for JavaScript, pumps and switches.
#ifndef NETKIT_END_H_
#define NETKIT_END_H_

#include <errno.h>
#include <node_api.h>
#include <stdint.h>
#include <time.h>

#include <atomic>

#include "frame.h"

namespace netkit {

class Environment;

// Nanoseconds since 1970.
inline uint64_t WallClock() {
  timespec now = {};
  clock_gettime(CLOCK_REALTIME, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1000000000u + static_cast<uint64_t>(now.tv_nsec);
}

// What was found out about a frame beside its bytes; for captures.
struct FrameDetail {
  uint64_t time;             // nanoseconds since 1970; 0 when the end does not know
  uint32_t original_length;  // before it was cut to fit
  uint32_t flags;            // as the option epb_flags of pcapng: 1 inbound, 2 outbound; 0 unknown
};

// The details of whole frames that were read now. `details` may be null.
inline void DetailNow(FrameDetail* details, const Span* spans, uint32_t count, uint32_t flags) {
  if (details == nullptr || count == 0) return;
  const uint64_t time = WallClock();
  for (uint32_t i = 0; i < count; i++) details[i] = {time, spans[i].length(), flags};
}

// What an end has carried. Written by any thread, in batches.
struct EndCounterSet {
  std::atomic<uint64_t> frames_read{0};
  std::atomic<uint64_t> bytes_read{0};
  std::atomic<uint64_t> frames_written{0};
  std::atomic<uint64_t> bytes_written{0};
  std::atomic<uint64_t> refused{0};      // frames that the kernel or the peer did not take; they are dropped
  std::atomic<uint64_t> truncated{0};    // frames that were cut on reading
  std::atomic<int32_t> last_refusal{0};  // errno of the last of them
};

// Counted by reference: JavaScript's object holds it, and each pump and switch that uses it. It may be read by one
// thread and written by one thread at a time, each of which may be any. It never closes its descriptor: that is the
// environment's, which does so after all who use it.
class End {
 public:
  End(const End&) = delete;
  End& operator=(const End&) = delete;

  // Reads whole frames without waiting, from `position` in the slab on, each begun at the next multiple of
  // kFrameAlignment (its header, if any, there, and the frame behind it). Ends after `max` frames, when there is less
  // than room() left in the slab, or when nothing waits. `details` may be null. Returns the number of frames, or a
  // negated errno when there is not one: -EAGAIN, -ENOBUFS (no room in the slab), -EBADFD (the device is gone) …
  virtual int Read(uint8_t* slab, size_t size, size_t position, Span* spans, uint32_t max, FrameDetail* details) = 0;
  // Writes frames that this end can take: WriteFrames() adapts others before. Returns how many were dealt with (refused
  // and counted ones are among them): fewer than `count` when the end is full for now and `fd` will poll writable; or a
  // negated errno when there is not one: -EAGAIN, or the end is gone.
  virtual int Write(const uint8_t* slab, size_t size, const Span* spans, uint32_t count) = 0;

  // To poll for reading and for writing. -1 when the end is never ready again. POLLERR and POLLHUP do not tell whether
  // the end is gone: a socket has them for what it gets over (an ICMP error). Read() tells, and takes the error away.
  int fd() const { return fd_; }
  // What to poll for: an end may want to write (POLLOUT) before it can read, to finish what was begun.
  virtual bool wants_write() const { return false; }
  // Called when it polls writable and wants_write(). Returns 0 or a negated errno that ends it.
  virtual int Flush() { return 0; }
  // The room in a slab that one frame may need.
  virtual size_t room() const { return kFrameRoom; }
  // More frames wait in memory, though `fd` may not poll readable: Read() again before waiting for it.
  virtual bool pending() const { return false; }
  // Milliseconds after which Read() is to be called though nothing polls: for what no descriptor tells. 0: only then.
  virtual uint32_t look_again() const { return 0; }
  // Changes when another file has come under the number `fd` (a stream that connects again). poll(2) finds it by
  // itself, and what waits in it is woken; who keeps `fd` in an epoll set adds it anew.
  virtual uint32_t generation() const { return 0; }
  // What it reads was sent as one and comes in pieces: worth Coalesce() on the way to a writer with offloads().
  virtual bool worth_joining() const { return false; }
  // The address of a constant that belongs to one kind of end, for functions of that kind; null for others.
  virtual const void* kind() const { return nullptr; }
  // kOffload… flags of the headers that Write() takes. 0: only whole frames.
  virtual uint32_t offloads() const { return 0; }
  // Whether many frames a call cost less than one: then frames that lie apart are copied together before.
  virtual bool batches() const { return false; }
  // IP packets rather than Ethernet frames.
  bool layer3() const { return layer3_; }

  EndCounterSet& counters() { return counters_; }

  void Ref() { references_.fetch_add(1, std::memory_order_relaxed); }
  void Unref() {
    if (references_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
  }

 protected:
  End(int fd, bool layer3) : fd_(fd), layer3_(layer3) {}
  virtual ~End() = default;

  int fd_;
  const bool layer3_;
  EndCounterSet counters_;

 private:
  std::atomic<uint32_t> references_{1};
};

// Whether an error of write(2) or read(2) is about the descriptor, and not about this frame.
inline bool IsGone(int error) {
  return error == EBADFD || error == EBADF || error == ENODEV || error == ENXIO || error == EPIPE;
}

// Adds up what one call did, and tells the end's counters once.
class Tally {
 public:
  explicit Tally(EndCounterSet& counters) : counters_(counters) {}
  Tally(const Tally&) = delete;
  Tally& operator=(const Tally&) = delete;
  ~Tally() {
    Add(counters_.frames_read, frames_read_);
    Add(counters_.bytes_read, bytes_read_);
    Add(counters_.frames_written, frames_written_);
    Add(counters_.bytes_written, bytes_written_);
    Add(counters_.refused, refused_);
    Add(counters_.truncated, truncated_);
    if (last_refusal_ != 0) counters_.last_refusal.store(last_refusal_, std::memory_order_relaxed);
  }

  void Read(size_t bytes) {
    frames_read_++;
    bytes_read_ += bytes;
  }
  void Written(size_t bytes) {
    frames_written_++;
    bytes_written_ += bytes;
  }
  void Refused(int error) {
    refused_++;
    last_refusal_ = error;
  }
  void Truncated() { truncated_++; }

 private:
  static void Add(std::atomic<uint64_t>& counter, uint64_t value) {
    if (value != 0) counter.fetch_add(value, std::memory_order_relaxed);
  }

  EndCounterSet& counters_;
  uint64_t frames_read_ = 0, bytes_read_ = 0, frames_written_ = 0, bytes_written_ = 0, refused_ = 0, truncated_ = 0;
  int32_t last_refusal_ = 0;
};

// Writes any frames to any end: what `end` cannot take is cut into segments and given its checksums before (offload.h).
// Returns as Write() does.
int WriteFrames(End& end, const uint8_t* slab, size_t size, const Span* spans, uint32_t count);

// The JavaScript object of an end, which takes over one reference, also when it fails (then null).
napi_value WrapEnd(Environment& environment, End* end);
// The end of an object that WrapEnd() made: without a reference, valid while the object is. Null, with a TypeError
// pending, for anything else.
End* EndOf(napi_env env, napi_value object);

}  // namespace netkit

#endif  // NETKIT_END_H_
