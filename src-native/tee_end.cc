#include "tee_end.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <new>

namespace netkit {

// What a frame in the ring begins with. It never goes around the ring's end: a record of length 0 fills that up.
struct TeeEnd::Record {
  uint32_t size;  // all of it, a multiple of kStep
  uint32_t length;
  uint32_t original_length;
  uint32_t flags;
  uint64_t time;
  uint16_t header_size;  // of an OffloadHeader right before the frame: 0 or kOffloadHeaderSize
  uint16_t is_gap;
  uint32_t unused;

  static constexpr size_t kStep = 32;
};

namespace {}  // namespace

const char TeeEnd::kKind = 0;

TeeEnd* TeeEnd::Create(int fd, bool layer3, size_t capacity, uint32_t snapshot_length) {
  static_assert(sizeof(Record) == Record::kStep, "so that a gap at the ring's end has room for one");
  TeeEnd* tee = new (std::nothrow) TeeEnd(fd, layer3, capacity, snapshot_length);
  if (tee == nullptr) return nullptr;
  // Memory that nobody has used yet costs nothing.
  void* ring = mmap(nullptr, capacity, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (ring != MAP_FAILED) tee->ring_ = static_cast<uint8_t*>(ring);
  tee->signal_ = fcntl(fd, F_DUPFD_CLOEXEC, 0);
  if (tee->ring_ != nullptr && tee->signal_ >= 0) return tee;
  tee->Unref();
  return nullptr;
}

TeeEnd::~TeeEnd() {
  Close();
  pthread_mutex_destroy(&writers_);
}

void TeeEnd::Close() {
  pthread_mutex_lock(&writers_);
  if (ring_ != nullptr) munmap(ring_, capacity_);
  if (signal_ >= 0) close(signal_);
  ring_ = nullptr;
  signal_ = -1;
  pthread_mutex_unlock(&writers_);
}

void TeeEnd::Signal() {
  if (signalled_.exchange(true)) return;
  const uint64_t one = 1;
  // Cannot be full: it is read before it is signalled again.
  [[maybe_unused]] const ssize_t written = write(signal_, &one, sizeof(one));
}

// Nothing was found: polls are quiet again, unless something has come meanwhile.
void TeeEnd::Quieten() {
  uint64_t count;
  [[maybe_unused]] const ssize_t got = read(signal_, &count, sizeof(count));
  signalled_.store(false);
  if (head_.load() != tail_.load(std::memory_order_relaxed)) Signal();
}

bool TeeEnd::Put(const uint8_t* frame, Span span, uint64_t time, uint32_t flags) {
  const uint32_t length = span.length() < snapshot_length_ ? span.length() : snapshot_length_;
  // A header says nothing about a frame that was cut.
  const uint16_t header_size = span.has_header() && length == span.length() ? kOffloadHeaderSize : 0;
  const size_t size = (sizeof(Record) + header_size + length + Record::kStep - 1) & ~(Record::kStep - 1);
  const uint64_t tail = tail_.load(std::memory_order_acquire);
  const size_t to_end = capacity_ - (written_ & (capacity_ - 1));
  const size_t gap = to_end < size ? to_end : 0;
  if (gap > capacity_ - (written_ - tail)) return false;
  // Also when the frame itself has no room then: an empty ring would never have any for one of half its size.
  if (gap > 0) {
    Record filler = {};
    filler.size = static_cast<uint32_t>(gap);
    filler.is_gap = 1;
    memcpy(ring_ + (written_ & (capacity_ - 1)), &filler, sizeof(filler));
    written_ += gap;
  }
  if (size > capacity_ - (written_ - tail)) return false;
  const Record record = {static_cast<uint32_t>(size), length, span.length(), flags, time, header_size, 0, 0};
  uint8_t* place = ring_ + (written_ & (capacity_ - 1));
  memcpy(place, &record, sizeof(record));
  memcpy(place + sizeof(record), frame - header_size, header_size + length);
  written_ += size;
  return true;
}

void TeeEnd::Offer(const uint8_t* slab, size_t size, const Span* spans, uint32_t count, uint32_t flags) {
  if (count == 0) return;
  const uint64_t time = WallClock();
  Tally tally(counters_);
  pthread_mutex_lock(&writers_);
  for (uint32_t i = 0; i < count && ring_ != nullptr; i++) {
    const size_t offset = spans[i].offset;
    const size_t before = spans[i].has_header() ? kOffloadHeaderSize : 0;
    const bool inside = offset <= size && spans[i].length() <= size - offset && before <= offset;
    if (!inside) {
      tally.Refused(EINVAL);
    } else if (Put(slab + offset, spans[i], time, flags)) {
      tally.Written(spans[i].length());
    } else {
      tally.Refused(ENOBUFS);
    }
  }
  // In one order with signalled_: either this sees that the reader has gone to sleep, or the reader sees these frames.
  head_.store(written_);
  if (ring_ != nullptr) Signal();
  pthread_mutex_unlock(&writers_);
}

int TeeEnd::Write(const uint8_t* slab, size_t size, const Span* spans, uint32_t count) {
  Offer(slab, size, spans, count, 0);
  return static_cast<int>(count);
}

// The first record that is a frame, or null when there is none.
const TeeEnd::Record* TeeEnd::First() {
  for (;;) {
    const uint64_t tail = tail_.load(std::memory_order_relaxed);
    if (tail == head_.load(std::memory_order_acquire)) return nullptr;
    const Record* record = reinterpret_cast<const Record*>(ring_ + (tail & (capacity_ - 1)));
    if (record->is_gap == 0) return record;
    tail_.store(tail + record->size, std::memory_order_release);
  }
}

int TeeEnd::Read(uint8_t* slab, size_t size, size_t position, Span* spans, uint32_t max, FrameDetail* details) {
  if (ring_ == nullptr) return -EPIPE;
  Tally tally(counters_);
  uint32_t count = 0;
  position = (position + kFrameAlignment - 1) & ~(kFrameAlignment - 1);
  while (count < max) {
    if (position > size || room() > size - position) return count > 0 ? static_cast<int>(count) : -ENOBUFS;
    const Record* record = First();
    if (record == nullptr) {
      // Only now: who takes a part of what waits is told again.
      Quieten();
      return count > 0 ? static_cast<int>(count) : -EAGAIN;
    }
    const size_t whole = record->header_size + record->length;
    memcpy(slab + position, record + 1, whole);
    spans[count].offset = static_cast<uint32_t>(position + record->header_size);
    spans[count].flagged_length = record->length | (record->header_size > 0 ? kHasHeader : 0);
    if (details != nullptr) details[count] = {record->time, record->original_length, record->flags};
    if (record->length < record->original_length) tally.Truncated();
    tally.Read(record->length);
    count++;
    position = (position + whole + kFrameAlignment - 1) & ~(kFrameAlignment - 1);
    tail_.store(tail_.load(std::memory_order_relaxed) + record->size, std::memory_order_release);
  }
  return static_cast<int>(count);
}

}  // namespace netkit
