#include "tun_end.h"

#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "arguments.h"
#include "direct.h"
#include "environment.h"
#include "functions.h"

namespace netkit {

int TunEnd::Read(uint8_t* slab, size_t size, size_t position, Span* spans, uint32_t max, FrameDetail* details) {
  const size_t header = headers_ ? kOffloadHeaderSize : 0;
  const uint32_t flag = headers_ ? kHasHeader : 0;
  Tally tally(counters_);
  uint32_t count = 0;
  int error = -ENOBUFS;
  while (count < max && position <= size && kFrameRoom <= size - position) {
    const ssize_t length = ReadDirect(fd_, slab + position, kFrameRoom);
    if (length <= static_cast<ssize_t>(header)) {
      error = length < 0 ? static_cast<int>(length) : -ENODATA;
      break;
    }
    const uint32_t bytes = static_cast<uint32_t>(length) - static_cast<uint32_t>(header);
    spans[count].offset = static_cast<uint32_t>(position + header);
    spans[count].flagged_length = bytes | flag;
    tally.Read(bytes);
    count++;
    position = (position + static_cast<size_t>(length) + kFrameAlignment - 1) & ~(kFrameAlignment - 1);
  }
  if (count == 0) return error;
  DetailNow(details, spans, count, 0);
  return static_cast<int>(count);
}

int TunEnd::Write(const uint8_t* slab, size_t size, const Span* spans, uint32_t count) {
  static const uint8_t kPlain[kOffloadHeaderSize] = {};
  Tally tally(counters_);
  for (uint32_t i = 0; i < count; i++) {
    const Span span = spans[i];
    const uint8_t* frame = slab + span.offset;
    const size_t length = span.length();
    if (span.offset > size || length > size - span.offset) {
      tally.Refused(EINVAL);
      continue;
    }
    ssize_t written;
    if (!headers_) {
      written = WriteDirect(fd_, frame, length);
    } else if (span.has_header() && span.offset >= kOffloadHeaderSize) {
      written = WriteDirect(fd_, frame - kOffloadHeaderSize, length + kOffloadHeaderSize);
    } else {
      iovec parts[] = {{const_cast<uint8_t*>(kPlain), kOffloadHeaderSize}, {const_cast<uint8_t*>(frame), length}};
      written = WritevDirect(fd_, parts, 2);
    }
    if (written >= 0) {
      tally.Written(length);
    } else if (IsGone(static_cast<int>(-written))) {
      return i > 0 ? static_cast<int>(i) : static_cast<int>(written);
    } else {
      // EAGAIN too: the descriptor polls writable all the same, unless somebody bounded the send buffer (TUNSETSNDBUF).
      tally.Refused(static_cast<int>(-written));
    }
  }
  return static_cast<int>(count);
}

napi_value CreateTunEnd(napi_env env, napi_callback_info info) {
  Arguments<4> arguments(env, info);
  int fd = arguments.Integer(0);
  bool layer3 = arguments.Unsigned(1) != 0;
  bool headers = arguments.Unsigned(2) != 0;
  uint32_t offloads = arguments.Unsigned(3);
  if (!arguments.ok()) return nullptr;
  return WrapEnd(arguments.environment(), new TunEnd(fd, layer3, headers, offloads));
}

}  // namespace netkit
