// Where copies of frames go that pass elsewhere: a bounded ring that is read like any other end.
#ifndef NETKIT_TEE_END_H_
#define NETKIT_TEE_END_H_

#include <pthread.h>

#include "end.h"

namespace netkit {

// Any number of threads put copies in, one at a time; one thread reads, and neither waits for it. What finds no room is
// dropped, and counted as refused (ENOBUFS).
class TeeEnd : public End {
 public:
  static const char kKind;

  // `fd` is an eventfd for those who poll. `capacity` is a power of two, and no frame is kept longer than
  // `snapshot_length`. Null when there is no memory, or no descriptor.
  static TeeEnd* Create(int fd, bool layer3, size_t capacity, uint32_t snapshot_length);

  // Lets go of the memory, whoever still fills it. Nobody may be reading.
  void Close();

  // Puts copies in, with one time for all. `flags` are those of FrameDetail.
  void Offer(const uint8_t* slab, size_t size, const Span* spans, uint32_t count, uint32_t flags);

  int Read(uint8_t* slab, size_t size, size_t position, Span* spans, uint32_t max, FrameDetail* details) override;
  // The same as Offer(): never full, as what has no room is dropped.
  int Write(const uint8_t* slab, size_t size, const Span* spans, uint32_t count) override;
  size_t room() const override { return kOffloadHeaderSize + snapshot_length_; }
  uint32_t offloads() const override { return ~0u; }
  const void* kind() const override { return &kKind; }

 private:
  struct Record;

  TeeEnd(int fd, bool layer3, size_t capacity, uint32_t snapshot_length)
      : End(fd, layer3), capacity_(capacity), snapshot_length_(snapshot_length) {}
  ~TeeEnd() override;

  bool Put(const uint8_t* frame, Span span, uint64_t time, uint32_t flags);
  const Record* First();
  void Signal();
  void Quieten();

  const size_t capacity_;
  const uint32_t snapshot_length_;
  uint8_t* ring_ = nullptr;
  pthread_mutex_t writers_ = PTHREAD_MUTEX_INITIALIZER;
  int signal_ = -1;       // fd_ once more, as that is closed by its owner; guarded by writers_ but for the reader
  uint64_t written_ = 0;  // guarded by writers_
  // Both only grow; their places in the ring are modulo its capacity.
  alignas(64) std::atomic<uint64_t> head_{0};
  alignas(64) std::atomic<uint64_t> tail_{0};
  std::atomic<bool> signalled_{false};
};

}  // namespace netkit

#endif  // NETKIT_TEE_END_H_
