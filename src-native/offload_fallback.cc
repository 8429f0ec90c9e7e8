// Until offload.cc is there.
#include <errno.h>

#include "offload.h"

namespace netkit {
__attribute__((weak)) bool IsTaken(const OffloadHeader& header, uint32_t offloads) {
  return offloads != 0 || (header.gso_type == kGsoNone && (header.flags & kNeedsChecksum) == 0);
}
__attribute__((weak)) int Segment(const uint8_t*, size_t, bool, const OffloadHeader&, uint8_t*, size_t, size_t, Span*,
                                  uint32_t) {
  return -EOPNOTSUPP;
}
}  // namespace netkit
