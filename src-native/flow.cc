#include "flow.h"

#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include <new>

#include "offload.h"

namespace netkit {

namespace {

// Frames at a time. With offload each may be of 64 KiB.
constexpr uint32_t kFrames = Flow::kMostFrames;
constexpr uint32_t kOffloadFrames = 64;
// A batch of segments is never longer when they are joined, but for its headers.
constexpr size_t kJoinedSize = kOffloadSlab + kFrames * kFrameAlignment * 2;
// The segments of a 64 KiB frame, down to an MSS of 48 bytes (RFC 879 asks for 536, Linux for 48 at least). What makes
// more goes uncut.
constexpr size_t kCutSize = 512 * 1024;
constexpr uint32_t kCutFrames = 1400;
// Errors of a read, one after the other, before the end is given up: most are told once, such as a link that goes down.
constexpr uint32_t kMostFailures = 64;

// Batches in a row in which nothing could be joined, before only one of kPasses is looked at.
constexpr uint32_t kMostVain = 16;
constexpr uint32_t kPasses = 8;

void Add(std::atomic<uint64_t>& counter, uint64_t value) {
  // The thread is alone in writing, so that this needs no locked instruction.
  if (value != 0) counter.store(counter.load(std::memory_order_relaxed) + value, std::memory_order_relaxed);
}

void Store(std::atomic<uint64_t>& counter, uint64_t value) { counter.store(value, std::memory_order_relaxed); }

uint8_t* Map(size_t size) {
  void* memory = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return memory == MAP_FAILED ? nullptr : static_cast<uint8_t*>(memory);
}

}  // namespace

uint64_t Flow::Now() {
  timespec now = {};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1000000000u + static_cast<uint64_t>(now.tv_nsec);
}

void Flow::Retire() {
  // What was on its way goes nowhere any more.
  Add(counters_.dropped, count_ - start_ + counters_.waiting.load(std::memory_order_relaxed));
  Store(counters_.waiting, 0);
  Store(counters_.waiting_bytes, 0);
  start_ = count_ = 0;
  delete filter_;
  delete impairment_;
  delete[] cut_spans_;
  if (joined_ != nullptr) munmap(joined_, kJoinedSize);
  if (cut_ != nullptr) munmap(cut_, kCutSize);
  filter_ = nullptr;
  impairment_ = nullptr;
  cut_spans_ = nullptr;
  joined_ = cut_ = nullptr;
  tee_count_ = 0;
  impairs_ = joins_ = false;
}

void Flow::Set(const FlowSettings& settings) {
  delete filter_;
  filter_ = settings.filter;
  // Frames that come whole are worth it, as one large frame costs the receiver little more than a small one.
  joining_ = settings.joining;
  joins_ = joining_ == Joining::kAlways ||
           (joining_ == Joining::kWhereWorth && (source_.offloads() == 0 || source_.worth_joining()));
  if (target_.offloads() == 0) joins_ = false;
  if (joins_ && joined_ == nullptr) joined_ = Map(kJoinedSize);
  if (joined_ == nullptr) joins_ = false;
  if (impairment_ == nullptr && settings.impair.any()) {
    impairment_ = new (std::nothrow) Impairment;
    if (impairment_ == nullptr) Fail(Side::kTarget, -ENOMEM);
    // Only what has a header is ever cut. Without this memory it goes uncut.
    if (cut_ == nullptr) cut_ = Map(kCutSize);
    if (cut_spans_ == nullptr) cut_spans_ = new (std::nothrow) Span[kCutFrames];
  }
  if (impairment_ == nullptr) return;
  // With settings that do nothing it stays as long as something waits in it.
  impairs_ = settings.impair.any() || impairment_->counters().frames > 0;
  impairment_->Set(settings.impair, Now());
  if (settings.seeds) impairment_->Seed(settings.seed);
}

void Flow::SetTees(const FlowTee* tees, uint32_t count) {
  tee_count_ = 0;
  for (uint32_t i = 0; i < count && i < kMostTees; i++) {
    if (tees[i].points != 0) tees_[tee_count_++] = tees[i];
  }
}

void Flow::Fail(Side side, int error) {
  if (failed_ != Side::kNone) return;
  failed_ = side;
  error_ = error;
}

bool Flow::Turn(uint8_t* slab, size_t size) {
  stuck_ = false;
  if (blocked()) {
    WriteRest();
    if (blocked() || failed_ != Side::kNone) return false;
  }
  // What is due goes before more is taken in, or cutting large frames would fill the memory.
  if (impairs_) {
    const bool whole = TakeDue(slab, size);
    // What the target has no room for lies in the slab that would be read into.
    if (whole || blocked() || failed_ != Side::kNone) return !blocked();
  }
  const uint32_t max = source_.offloads() != 0 ? kOffloadFrames : kFrames;
  uint32_t count = ReadBatch(slab, size, max);
  bool more = count == max || source_.pending();
  if (tee_count_ != 0) Copy(slab, size, count, kTeeRead);
  if (filter_ != nullptr) count = Filter(slab, count);
  if (impairs_) {
    if (count > 0) Impair(slab, count);
    more = TakeDue(slab, size) || more;
  } else if (count > 0) {
    Send(slab, size, count);
  }
  return more && !blocked();
}

// Sends what is due. Returns whether there was a whole batch of it.
bool Flow::TakeDue(uint8_t* slab, size_t size) {
  const uint32_t count = impairment_->Take(Now(), slab, size, spans_, kFrames);
  impairs_ = impairment_->settings().any() || impairment_->counters().frames > 0;
  Publish();
  if (count > 0) Send(slab, size, count);
  return count == kFrames;
}

uint32_t Flow::ReadBatch(uint8_t* slab, size_t size, uint32_t max) {
  const int read = source_.Read(slab, size, 0, spans_, max, nullptr);
  if (read > 0) {
    failures_ = 0;
    uint64_t bytes = 0;
    for (int i = 0; i < read; i++) bytes += spans_[i].length();
    Add(counters_.frames, static_cast<uint64_t>(read));
    Add(counters_.bytes, bytes);
    return static_cast<uint32_t>(read);
  }
  if (read == -EAGAIN || read == 0) {
    failures_ = 0;
  } else if (IsGone(-read) || ++failures_ > kMostFailures) {
    Fail(Side::kSource, read);
  }
  return 0;
}

uint32_t Flow::Filter(const uint8_t* slab, uint32_t count) {
  uint32_t kept = 0;
  for (uint32_t i = 0; i < count; i++) {
    if (filter_->Matches(slab + spans_[i].offset, spans_[i].length())) spans_[kept++] = spans_[i];
  }
  Add(counters_.filtered, count - kept);
  return kept;
}

void Flow::Impair(const uint8_t* slab, uint32_t count) {
  const uint64_t now = Now();
  for (uint32_t i = 0; i < count; i++) ImpairOne(slab + spans_[i].offset, spans_[i], now);
}

bool Flow::MustBeCut(const OffloadHeader& header, size_t length) const {
  const ImpairSettings& settings = impairment_->settings();
  // Damage has to come behind the checksum, or nobody could see it.
  if (settings.corrupt != 0 && (header.flags & kNeedsChecksum) != 0) return true;
  if ((header.gso_type & ~kGsoEcn) == kGsoNone) return false;
  return settings.per_packet() || (settings.rate != 0 && settings.burst < length);
}

void Flow::ImpairOne(const uint8_t* frame, Span span, uint64_t now) {
  const size_t length = span.length();
  if (!span.has_header()) {
    impairment_->Push(frame, length, nullptr, now);
    return;
  }
  OffloadHeader header;
  memcpy(&header, frame - kOffloadHeaderSize, sizeof(header));
  if (MustBeCut(header, length) && cut_ != nullptr && cut_spans_ != nullptr) {
    const bool layer3 = source_.layer3();
    const size_t room = SegmentRoom(frame, length, layer3, header);
    const int count = room == 0 || room > kCutSize
                          ? 0
                          : Segment(frame, length, layer3, header, cut_, kCutSize, 0, cut_spans_, kCutFrames);
    for (int i = 0; i < count; i++) {
      impairment_->Push(cut_ + cut_spans_[i].offset, cut_spans_[i].length(), nullptr, now);
    }
    if (count > 0) return;
  }
  const bool says_nothing = (header.flags & kNeedsChecksum) == 0 && header.gso_type == kGsoNone;
  impairment_->Push(frame, length, says_nothing ? nullptr : &header, now);
}

void Flow::Send(const uint8_t* slab, size_t size, uint32_t count) {
  if (tee_count_ != 0) Copy(slab, size, count, kTeeWritten);
  data_ = slab_ = slab;
  size_ = size;
  written_spans_ = spans_;
  start_ = 0;
  count_ = count;
  if (joins_ && count > 1 && TriesToJoin()) {
    const int joined = Coalesce(slab, size, spans_, count, source_.layer3(), target_.offloads(), joined_, kJoinedSize,
                                0, joined_spans_, kMostFrames);
    vain_ = joined > 0 && static_cast<uint32_t>(joined) < count ? 0 : vain_ + 1;
    if (joined > 0) {
      data_ = joined_;
      slab_ = nullptr;
      size_ = kJoinedSize;
      written_spans_ = joined_spans_;
      count_ = static_cast<uint32_t>(joined);
    }
  }
  WriteRest();
}

// Looking costs a tenth of a frame. Where nothing was found for a while, only some batches are looked at.
bool Flow::TriesToJoin() {
  if (joining_ == Joining::kAlways || vain_ < kMostVain) return true;
  return ++passed_ % kPasses == 0;
}

void Flow::WriteRest() {
  const uint64_t refused = target_.counters().refused.load(std::memory_order_relaxed);
  const int written = WriteFrames(target_, data_, size_, written_spans_ + start_, count_ - start_);
  Add(counters_.refused, target_.counters().refused.load(std::memory_order_relaxed) - refused);
  if (written > 0) {
    start_ += static_cast<uint32_t>(written);
  } else if (written == 0 || written == -EAGAIN) {
    stuck_ = true;
  } else {
    Fail(Side::kTarget, written);
  }
}

void Flow::Copy(const uint8_t* slab, size_t size, uint32_t count, uint32_t point) {
  for (uint32_t i = 0; i < tee_count_; i++) {
    if ((tees_[i].points & point) != 0) tees_[i].tee->Offer(slab, size, spans_, count, flags_);
  }
}

void Flow::Publish() {
  const Impairment::Counters& now = impairment_->counters();
  Store(counters_.lost, now.lost);
  Store(counters_.duplicated, now.duplicated);
  Store(counters_.reordered, now.reordered);
  Store(counters_.corrupted, now.corrupted);
  Store(counters_.dropped, now.dropped);
  Store(counters_.waiting, now.frames);
  Store(counters_.waiting_bytes, now.bytes);
}

}  // namespace netkit
