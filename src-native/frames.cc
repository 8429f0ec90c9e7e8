#include <errno.h>
#include <unistd.h>

#include "arguments.h"
#include "functions.h"

namespace netkit {

namespace {

// Frames start at multiples of this in a slab.
constexpr size_t kAlignment = 64;
// writeBuffers() closes its handles after so many elements.
constexpr uint32_t kHandles = 256;

struct Counters {
  double* values;

  void Written(size_t bytes) {
    values[0] += 1;
    values[1] += static_cast<double>(bytes);
  }

  void Refused(int error) {
    values[2] += 1;
    values[3] = error;
  }
};
constexpr size_t kCounters = 4;

// Whether an error of write(2) is about the descriptor, and not about this frame.
bool Gone(int error) {
  return error == EBADFD || error == EBADF || error == ENODEV || error == ENXIO || error == EPIPE;
}

// Returns 0 when the frame is dealt with, else the negated errno that ends writing.
int WriteFrame(int fd, const uint8_t* data, size_t length, Counters& counters) {
  ssize_t written;
  do {
    written = write(fd, data, length);
  } while (written < 0 && errno == EINTR);
  if (written >= 0) {
    counters.Written(static_cast<size_t>(written));
    return 0;
  }
  if (errno == EAGAIN || Gone(errno)) return -errno;
  counters.Refused(errno);
  return 0;
}

}  // namespace

napi_value ReadFrames(napi_env env, napi_callback_info info) {
  Arguments<6> arguments(env, info);
  int fd = arguments.Integer(0);
  Bytes slab = arguments.Octets(1);
  size_t position = arguments.Size(2);
  size_t frame_size = arguments.Size(3);
  Elements<uint32_t> spans = arguments.Words(4);
  uint32_t max = arguments.Unsigned(5);
  if (!arguments.ok()) return nullptr;
  if (max > spans.length / 2) max = static_cast<uint32_t>(spans.length / 2);
  // A span has 32 bits.
  if (max == 0 || frame_size == 0 || slab.length > UINT32_MAX) return Number(env, -EINVAL);

  uint32_t count = 0;
  int error = -ENOBUFS;
  // In this order nothing overflows.
  while (count < max && position <= slab.length && frame_size <= slab.length - position) {
    ssize_t length;
    do {
      length = read(fd, slab.data + position, frame_size);
    } while (length < 0 && errno == EINTR);
    if (length <= 0) {
      error = length < 0 ? -errno : -ENODATA;
      break;
    }
    spans.data[2 * count] = static_cast<uint32_t>(position);
    spans.data[2 * count + 1] = static_cast<uint32_t>(length);
    count++;
    position = (position + static_cast<size_t>(length) + kAlignment - 1) & ~(kAlignment - 1);
  }
  return Number(env, count > 0 ? static_cast<double>(count) : error);
}

napi_value WriteFrames(napi_env env, napi_callback_info info) {
  Arguments<6> arguments(env, info);
  int fd = arguments.Integer(0);
  Bytes slab = arguments.Octets(1);
  Elements<uint32_t> spans = arguments.Words(2);
  size_t start = arguments.Size(3);
  size_t count = arguments.Size(4);
  Elements<double> totals = arguments.Doubles(5);
  if (!arguments.ok()) return nullptr;
  size_t available = spans.length / 2;
  if (start > available || count > available - start || totals.length < kCounters) return Number(env, -EINVAL);

  Counters counters = {totals.data};
  for (size_t i = 0; i < count; i++) {
    size_t offset = spans.data[2 * (start + i)];
    size_t length = spans.data[2 * (start + i) + 1];
    if (offset > slab.length || length > slab.length - offset) {
      counters.Refused(EINVAL);
      continue;
    }
    int error = WriteFrame(fd, slab.data + offset, length, counters);
    if (error != 0) return Number(env, i > 0 ? static_cast<double>(i) : error);
  }
  return Number(env, static_cast<double>(count));
}

napi_value WriteBuffers(napi_env env, napi_callback_info info) {
  Arguments<4> arguments(env, info);
  int fd = arguments.Integer(0);
  uint32_t start = arguments.Unsigned(2);
  Elements<double> totals = arguments.Doubles(3);
  uint32_t length = 0;
  if (arguments.ok() && napi_get_array_length(env, arguments.value(1), &length) != napi_ok) {
    arguments.Fail(1, "must be an array");
  }
  if (!arguments.ok()) return nullptr;
  if (start > length || totals.length < kCounters) return Number(env, -EINVAL);

  Counters counters = {totals.data};
  for (uint32_t i = start; i < length;) {
    napi_handle_scope handles = nullptr;
    if (napi_open_handle_scope(env, &handles) != napi_ok) return nullptr;
    int error = 0;
    bool typed = true;
    for (uint32_t end = length - i > kHandles ? i + kHandles : length; i < end && error == 0 && typed;) {
      napi_value element = nullptr;
      Bytes frame;
      typed = napi_get_element(env, arguments.value(1), i, &element) == napi_ok &&
              ReadElements(env, element, napi_uint8_array, &frame);
      if (typed) error = WriteFrame(fd, frame.data, frame.length, counters);
      if (typed && error == 0) i++;
    }
    napi_close_handle_scope(env, handles);
    if (!typed) {
      arguments.Fail(1, "must hold Uint8Arrays");
      return nullptr;
    }
    if (error != 0) return Number(env, i > start ? static_cast<double>(i - start) : error);
  }
  return Number(env, length - start);
}

}  // namespace netkit
