#include "end.h"

#include <stdlib.h>
#include <string.h>

#include "arguments.h"
#include "environment.h"
#include "offload.h"

namespace netkit {

namespace {

// Marks the objects that wrap an End.
constexpr napi_type_tag kTag = {0x6e65746b69745f65, 0xb1d7204c83f59a6e};

// Where frames are cut into segments: one for each thread, made when it is first needed.
class Scratch {
 public:
  static constexpr size_t kSize = 256 * 1024;
  static constexpr uint32_t kFrames = 2048;

  ~Scratch() {
    free(slab_);
    free(spans_);
  }

  bool Prepare() {
    if (slab_ == nullptr) slab_ = static_cast<uint8_t*>(malloc(kSize));
    if (spans_ == nullptr) spans_ = static_cast<Span*>(malloc(kFrames * sizeof(Span)));
    return slab_ != nullptr && spans_ != nullptr;
  }

  uint8_t* slab() { return slab_; }
  Span* spans() { return spans_; }

 private:
  uint8_t* slab_ = nullptr;
  Span* spans_ = nullptr;
};

thread_local Scratch scratch;

// Frames that are cut before the segments are written.
constexpr uint32_t kRun = 256;

bool HeaderOf(const uint8_t* slab, size_t size, const Span& span, OffloadHeader* header) {
  if (!span.has_header() || span.offset < kOffloadHeaderSize || span.offset > size) return false;
  memcpy(header, slab + span.offset - kOffloadHeaderSize, sizeof(*header));
  return true;
}

// Whether the end can write the frame as it lies there.
bool IsTakenAsIs(const uint8_t* slab, size_t size, const Span& span, uint32_t offloads) {
  OffloadHeader header;
  return !HeaderOf(slab, size, span, &header) || IsTaken(header, offloads);
}

void CountRefused(End& end, uint32_t frames, int error) {
  end.counters().refused.fetch_add(frames, std::memory_order_relaxed);
  end.counters().last_refusal.store(error, std::memory_order_relaxed);
}

// Frames in segments, those of several frames together, because an end may take many at once. Returns how many frames
// are dealt with, or a negated errno when there is not one.
int WriteSegments(End& end, const uint8_t* slab, size_t size, const Span* spans, uint32_t count) {
  if (!scratch.Prepare()) {
    CountRefused(end, count, ENOMEM);
    return static_cast<int>(count);
  }
  // How many segments there are up to the end of each frame.
  uint32_t ends[kRun];
  uint32_t frames = 0;
  uint32_t segments = 0;
  for (size_t position = 0; frames < count && frames < kRun; frames++) {
    const Span& span = spans[frames];
    const size_t length = span.length();
    Span* const next = scratch.spans() + segments;
    OffloadHeader header;
    int made = -EINVAL;
    if (HeaderOf(slab, size, span, &header) && length <= size - span.offset) {
      made = Segment(slab + span.offset, length, end.layer3(), header, scratch.slab(), Scratch::kSize, position, next,
                     Scratch::kFrames - segments);
    }
    if (made < 0 && frames > 0) break;  // in a turn of its own: there may be no room beside the others
    if (made < 0) {
      CountRefused(end, 1, -made);
      return 1;
    }
    segments += static_cast<uint32_t>(made);
    ends[frames] = segments;
    if (made > 0) position = next[made - 1].offset + next[made - 1].length();
  }

  uint32_t done = 0;
  int error = -EAGAIN;
  while (done < segments) {
    const int written = end.Write(scratch.slab(), Scratch::kSize, scratch.spans() + done, segments - done);
    if (written <= 0) {
      if (written < 0) error = written;
      break;
    }
    done += static_cast<uint32_t>(written);
  }
  if (done == segments) return static_cast<int>(frames);
  uint32_t dealt = 0;
  while (ends[dealt] <= done) dealt++;
  if (done > (dealt > 0 ? ends[dealt - 1] : 0)) {
    // The end filled up in the middle: the rest is lost, as on a cable, because the frame cannot be taken back.
    CountRefused(end, ends[dealt] - done, -error);
    dealt++;
  }
  return dealt > 0 ? static_cast<int>(dealt) : error;
}

}  // namespace

int WriteFrames(End& end, const uint8_t* slab, size_t size, const Span* spans, uint32_t count) {
  const uint32_t offloads = end.offloads();
  uint32_t done = 0;
  while (done < count) {
    const bool as_is = IsTakenAsIs(slab, size, spans[done], offloads);
    uint32_t run = done + 1;
    while (run < count && IsTakenAsIs(slab, size, spans[run], offloads) == as_is) run++;
    const int result = as_is ? end.Write(slab, size, spans + done, run - done)
                             : WriteSegments(end, slab, size, spans + done, run - done);
    if (result <= 0) return done > 0 ? static_cast<int>(done) : result < 0 ? result : -EAGAIN;
    done += static_cast<uint32_t>(result);
    if (as_is && done < run) break;  // full for now
  }
  return static_cast<int>(done);
}

napi_value WrapEnd(Environment& environment, End* end) {
  napi_env env = environment.env();
  napi_value object = nullptr;
  napi_status status = napi_create_object(env, &object);
  if (status == napi_ok) status = napi_type_tag_object(env, object, &kTag);
  if (status == napi_ok) {
    status = napi_wrap(
        env, object, end, [](napi_env, void* data, void*) { static_cast<End*>(data)->Unref(); }, nullptr, nullptr);
  }
  if (status == napi_ok) return object;
  end->Unref();
  return nullptr;
}

End* EndOf(napi_env env, napi_value object) { return static_cast<End*>(Unwrap(env, object, kTag, "not a packet end")); }

}  // namespace netkit
