// What JavaScript does with an end: read and write batches of frames, wait, and look at its counters.
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "arguments.h"
#include "end.h"
#include "environment.h"
#include "functions.h"
#include "poller.h"

namespace netkit {

namespace {

// writeBuffers() closes its handles after so many elements.
constexpr uint32_t kHandles = 256;
// What writeBuffers() puts together at most, for ends that take many frames at once.
constexpr size_t kGather = 256 * 1024;

size_t Aligned(size_t position) { return (position + kFrameAlignment - 1) & ~(kFrameAlignment - 1); }

// Frames in arrays of their own, on their way into one piece of memory.
class Gathered {
 public:
  ~Gathered() { free(slab_); }

  bool Prepare() {
    slab_ = static_cast<uint8_t*>(malloc(kGather));
    return slab_ != nullptr;
  }

  bool Fits(size_t length) const { return count_ < kHandles && length <= kGather - position_; }

  void Add(const uint8_t* frame, size_t length) {
    if (length > 0) memcpy(slab_ + position_, frame, length);
    spans_[count_++] = {static_cast<uint32_t>(position_), static_cast<uint32_t>(length)};
    position_ = Aligned(position_ + length);
    if (position_ > kGather) position_ = kGather;
  }

  uint32_t count() const { return count_; }

  int Write(End& end) {
    const int result = count_ == 0 ? 0 : WriteFrames(end, slab_, kGather, spans_, count_);
    count_ = 0;
    position_ = 0;
    return result;
  }

 private:
  uint8_t* slab_ = nullptr;
  Span spans_[kHandles];
  size_t position_ = 0;
  uint32_t count_ = 0;
};

// Wakes who waits for what is in memory already.
void Nudge(Environment& environment, const End& end) {
  if (!end.pending()) return;
  Poller* poller = environment.descriptors().poller(end.fd());
  if (poller != nullptr) poller->Nudge();
}

}  // namespace

napi_value NudgeEnd(napi_env env, napi_callback_info info) {
  Arguments<1> arguments(env, info);
  if (!arguments.ok()) return nullptr;
  End* end = EndOf(env, arguments.value(0));
  if (end != nullptr) Nudge(arguments.environment(), *end);
  return nullptr;
}

napi_value ReadFrames(napi_env env, napi_callback_info info) {
  Arguments<6> arguments(env, info);
  Bytes slab = arguments.Octets(1);
  size_t position = arguments.Size(2);
  Elements<uint32_t> spans = arguments.Words(3);
  uint32_t max = arguments.Unsigned(4);
  Bytes details;
  napi_valuetype type = napi_undefined;
  napi_typeof(env, arguments.value(5), &type);
  if (type != napi_undefined) details = arguments.Octets(5);
  if (!arguments.ok()) return nullptr;
  End* end = EndOf(env, arguments.value(0));
  if (end == nullptr) return nullptr;
  if (max > spans.length / 2) max = static_cast<uint32_t>(spans.length / 2);
  FrameDetail* each = nullptr;
  if (details.length > 0) {
    if (reinterpret_cast<uintptr_t>(details.data) % alignof(FrameDetail) != 0) return Number(env, -EINVAL);
    each = reinterpret_cast<FrameDetail*>(details.data);
    if (max > details.length / sizeof(FrameDetail)) max = static_cast<uint32_t>(details.length / sizeof(FrameDetail));
  }
  // A span has 32 bits, and a result 31.
  if (max == 0 || max > INT32_MAX || slab.length > UINT32_MAX) return Number(env, -EINVAL);
  const int count = end->Read(slab.data, slab.length, position, reinterpret_cast<Span*>(spans.data), max, each);
  Nudge(arguments.environment(), *end);
  return Number(env, count);
}

napi_value WriteFrames(napi_env env, napi_callback_info info) {
  Arguments<5> arguments(env, info);
  Bytes slab = arguments.Octets(1);
  Elements<uint32_t> spans = arguments.Words(2);
  size_t start = arguments.Size(3);
  size_t count = arguments.Size(4);
  if (!arguments.ok()) return nullptr;
  End* end = EndOf(env, arguments.value(0));
  if (end == nullptr) return nullptr;
  size_t available = spans.length / 2;
  if (start > available || count > available - start || count > INT32_MAX) return Number(env, -EINVAL);
  if (count == 0) return Number(env, 0);
  const Span* first = reinterpret_cast<const Span*>(spans.data) + start;
  return Number(env, WriteFrames(*end, slab.data, slab.length, first, static_cast<uint32_t>(count)));
}

napi_value WriteBuffers(napi_env env, napi_callback_info info) {
  Arguments<3> arguments(env, info);
  uint32_t start = arguments.Unsigned(2);
  uint32_t length = 0;
  if (arguments.ok() && napi_get_array_length(env, arguments.value(1), &length) != napi_ok) {
    arguments.Fail(1, "must be an array");
  }
  if (!arguments.ok()) return nullptr;
  End* end = EndOf(env, arguments.value(0));
  if (end == nullptr) return nullptr;
  if (start > length || length > INT32_MAX) return Number(env, -EINVAL);
  Gathered gathered;
  if (end->batches() && !gathered.Prepare()) return Number(env, -ENOMEM);

  // Up to `dealt` the end has dealt with the frames, up to `i` they are read.
  uint32_t dealt = start;
  int error = 0;
  bool typed = true;
  for (uint32_t i = start; i < length && error == 0 && typed;) {
    napi_handle_scope handles = nullptr;
    if (napi_open_handle_scope(env, &handles) != napi_ok) return nullptr;
    for (uint32_t stop = length - i > kHandles ? i + kHandles : length; i < stop && error == 0 && typed;) {
      napi_value element = nullptr;
      Bytes frame;
      typed = napi_get_element(env, arguments.value(1), i, &element) == napi_ok &&
              ReadElements(env, element, napi_uint8_array, &frame);
      if (!typed) break;
      if (end->batches() && frame.length <= kGather) {
        if (!gathered.Fits(frame.length)) {
          const uint32_t wanted = gathered.count();
          const int result = gathered.Write(*end);
          if (result > 0) dealt += static_cast<uint32_t>(result);
          if (result < static_cast<int>(wanted)) error = result < 0 ? result : -EAGAIN;
          if (error != 0) break;
        }
        gathered.Add(frame.data, frame.length);
      } else {
        // Too long for a span is too long for every end.
        const Span span = {0, static_cast<uint32_t>(frame.length & ~static_cast<size_t>(kHasHeader))};
        const int result = WriteFrames(*end, frame.data, frame.length, &span, 1);
        if (result < 0) error = result;
        if (result > 0) dealt++;
      }
      if (error == 0) i++;
    }
    napi_close_handle_scope(env, handles);
  }
  if (typed && error == 0 && gathered.count() > 0) {
    const int result = gathered.Write(*end);
    if (result > 0) dealt += static_cast<uint32_t>(result);
    if (result < 0) error = result;
  }
  if (!typed) {
    arguments.Fail(1, "must hold Uint8Arrays");
    return nullptr;
  }
  return Number(env, dealt > start || error == 0 ? static_cast<double>(dealt - start) : error);
}

napi_value FlushEnd(napi_env env, napi_callback_info info) {
  Arguments<1> arguments(env, info);
  if (!arguments.ok()) return nullptr;
  End* end = EndOf(env, arguments.value(0));
  if (end == nullptr) return nullptr;
  if (!end->wants_write()) return Number(env, 0);
  const int error = end->Flush();
  return Number(env, error != 0 && error != -EAGAIN ? error : end->wants_write() ? 1 : 0);
}

napi_value EndCounters(napi_env env, napi_callback_info info) {
  Arguments<2> arguments(env, info);
  Elements<double> values = arguments.Doubles(1);
  if (!arguments.ok()) return nullptr;
  End* end = EndOf(env, arguments.value(0));
  if (end == nullptr) return nullptr;
  const EndCounterSet& counters = end->counters();
  const double now[] = {
      static_cast<double>(counters.frames_read.load(std::memory_order_relaxed)),
      static_cast<double>(counters.bytes_read.load(std::memory_order_relaxed)),
      static_cast<double>(counters.frames_written.load(std::memory_order_relaxed)),
      static_cast<double>(counters.bytes_written.load(std::memory_order_relaxed)),
      static_cast<double>(counters.refused.load(std::memory_order_relaxed)),
      static_cast<double>(counters.truncated.load(std::memory_order_relaxed)),
      static_cast<double>(counters.last_refusal.load(std::memory_order_relaxed)),
  };
  for (size_t i = 0; i < values.length && i < sizeof(now) / sizeof(*now); i++) values.data[i] = now[i];
  return nullptr;
}

napi_value WaitReadable(napi_env env, napi_callback_info info) {
  Arguments<2> arguments(env, info);
  Elements<uint32_t> fds = arguments.Words(0);
  int timeout = arguments.Integer(1);
  if (!arguments.ok()) return nullptr;
  constexpr size_t kMost = 64;
  if (fds.length == 0 || fds.length > kMost) return Number(env, -EINVAL);
  pollfd polled[kMost];
  for (size_t i = 0; i < fds.length; i++) polled[i] = {static_cast<int>(fds.data[i]), POLLIN, 0};
  const int result = poll(polled, fds.length, timeout);
  if (result <= 0) return Number(env, result == 0 || errno == EINTR ? -EAGAIN : -errno);
  for (size_t i = 0; i < fds.length; i++) {
    if (polled[i].revents != 0) return Number(env, static_cast<double>(i));
  }
  return Number(env, -EAGAIN);
}

}  // namespace netkit
