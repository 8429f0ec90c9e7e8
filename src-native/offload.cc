// Cutting, joining and checksums for JavaScript that has frames in its hands.
#include <errno.h>

#include "arguments.h"
#include "checksum.h"
#include "functions.h"

namespace netkit {

namespace {

// False when it has not the size of one.
bool ReadHeader(const Bytes& bytes, OffloadHeader* header) {
  if (bytes.length != kOffloadHeaderSize) return false;
  memcpy(header, bytes.data, sizeof(*header));
  return true;
}

// A span is two elements. The array of JavaScript has their alignment.
Span* SpansIn(const Elements<uint32_t>& words) { return reinterpret_cast<Span*>(words.data); }

uint32_t SpanCount(const Elements<uint32_t>& words) {
  const size_t count = words.length / 2;
  return count < INT32_MAX ? static_cast<uint32_t>(count) : INT32_MAX;
}

}  // namespace

napi_value SegmentRoom(napi_env env, napi_callback_info info) {
  Arguments<3> arguments(env, info);
  const Bytes frame = arguments.Octets(0);
  const Bytes header_bytes = arguments.Octets(1);
  const bool layer3 = arguments.Boolean(2);
  if (!arguments.ok()) return nullptr;
  OffloadHeader header;
  if (!ReadHeader(header_bytes, &header)) return Number(env, -EINVAL);
  return Number(env, static_cast<double>(SegmentRoom(frame.data, frame.length, layer3, header)));
}

napi_value SegmentFrame(napi_env env, napi_callback_info info) {
  Arguments<6> arguments(env, info);
  const Bytes frame = arguments.Octets(0);
  const Bytes header_bytes = arguments.Octets(1);
  const bool layer3 = arguments.Boolean(2);
  const Bytes out = arguments.Octets(3);
  const size_t position = arguments.Size(4);
  const Elements<uint32_t> spans = arguments.Words(5);
  if (!arguments.ok()) return nullptr;
  OffloadHeader header;
  if (!ReadHeader(header_bytes, &header)) return Number(env, -EINVAL);
  return Number(env, Segment(frame.data, frame.length, layer3, header, out.data, out.length, position, SpansIn(spans),
                             SpanCount(spans)));
}

napi_value CoalesceFrames(napi_env env, napi_callback_info info) {
  Arguments<8> arguments(env, info);
  const Bytes slab = arguments.Octets(0);
  const Elements<uint32_t> spans = arguments.Words(1);
  const uint32_t count = arguments.Unsigned(2);
  const bool layer3 = arguments.Boolean(3);
  const uint32_t offloads = arguments.Unsigned(4);
  const Bytes out = arguments.Octets(5);
  const size_t position = arguments.Size(6);
  const Elements<uint32_t> spans_out = arguments.Words(7);
  if (!arguments.ok()) return nullptr;
  if (count > SpanCount(spans)) return Number(env, -EINVAL);
  return Number(env, Coalesce(slab.data, slab.length, SpansIn(spans), count, layer3, offloads, out.data, out.length,
                              position, SpansIn(spans_out), SpanCount(spans_out)));
}

napi_value InternetSum(napi_env env, napi_callback_info info) {
  Arguments<2> arguments(env, info);
  const double sum = arguments.Whole(0, 0, UINT16_MAX);
  const Bytes bytes = arguments.Octets(1);
  if (!arguments.ok()) return nullptr;
  const uint16_t total = Fold(AddToSum(AsRaw16(static_cast<size_t>(sum)), bytes.data, bytes.length));
  return Number(env, AsRaw16(total));
}

}  // namespace netkit
