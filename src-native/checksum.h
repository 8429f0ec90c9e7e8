// The Internet checksum (RFC 1071), and numbers of a packet's headers. A sum is kept in the order that the bytes have
// in memory, as the kernel's __wsum: it is never swapped, and what is added to it is laid out as in the packet.
#ifndef NETKIT_CHECKSUM_H_
#define NETKIT_CHECKSUM_H_

#include <string.h>

#include "offload.h"

namespace netkit {

// Numbers in the order of the network, at any address.
inline uint16_t Load16(const uint8_t* from) {
  uint16_t value;
  memcpy(&value, from, sizeof(value));
  return __builtin_bswap16(value);
}
inline uint32_t Load32(const uint8_t* from) {
  uint32_t value;
  memcpy(&value, from, sizeof(value));
  return __builtin_bswap32(value);
}
inline void Store16(uint8_t* to, uint16_t value) {
  value = __builtin_bswap16(value);
  memcpy(to, &value, sizeof(value));
}
inline void Store32(uint8_t* to, uint32_t value) {
  value = __builtin_bswap32(value);
  memcpy(to, &value, sizeof(value));
}

// 16 bits of a packet, as they are added to a sum.
inline uint16_t Raw16(const uint8_t* from) {
  uint16_t value;
  memcpy(&value, from, sizeof(value));
  return value;
}
// The same for a number that is not in the packet (yet).
inline uint16_t AsRaw16(size_t value) { return __builtin_bswap16(static_cast<uint16_t>(value)); }

// Writes the finished checksum of what was added up. 0 is written as 0xffff, which means the same number but not, in
// UDP, that there is no checksum (RFC 768).
inline void StoreChecksum(uint8_t* to, uint64_t sum) {
  uint16_t checksum = static_cast<uint16_t>(~Fold(sum));
  if (checksum == 0) checksum = 0xffff;
  memcpy(to, &checksum, sizeof(checksum));
}

// AddToSum() of bytes that are copied at the same time. They must not overlap.
uint64_t CopyAndSum(uint64_t sum, uint8_t* to, const uint8_t* from, size_t length);

}  // namespace netkit

#endif  // NETKIT_CHECKSUM_H_
