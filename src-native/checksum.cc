#include "checksum.h"

namespace netkit {

namespace {

// Two numbers of 64 bits, in one register of SSE2 and NEON, which every processor has that netkit runs on.
using Pair = uint64_t __attribute__((vector_size(16)));
constexpr size_t kStride = 2 * sizeof(Pair);

inline Pair LoadPair(const uint8_t* from) {
  Pair value;
  memcpy(&value, from, sizeof(value));
  return value;
}

// End-around carry of 64 bits.
inline uint64_t Carried(uint64_t sum, uint64_t more) {
  sum += more;
  return sum + (sum < more ? 1 : 0);
}

template <bool kCopy>
inline uint64_t Sum(uint64_t sum, uint8_t* to, const uint8_t* from, size_t length) {
  // The halves of 32 bits are added up apart, so that no carry is lost in less than 2^32 rounds.
  constexpr Pair kLow = {0xffffffff, 0xffffffff};
  Pair low = {0, 0}, high = {0, 0}, low2 = {0, 0}, high2 = {0, 0};
  while (length >= kStride) {
    const Pair first = LoadPair(from);
    const Pair second = LoadPair(from + sizeof(Pair));
    if (kCopy) {
      memcpy(to, &first, sizeof(first));
      memcpy(to + sizeof(Pair), &second, sizeof(second));
      to += kStride;
    }
    low += first & kLow;
    high += first >> 32;
    low2 += second & kLow;
    high2 += second >> 32;
    from += kStride;
    length -= kStride;
  }
  const Pair all = low + high + low2 + high2;
  sum = Carried(Carried(sum, all[0]), all[1]);
  while (length > 0) {
    uint64_t word = 0;
    const size_t size = length < sizeof(word) ? length : sizeof(word);
    if (size == sizeof(word)) {
      memcpy(&word, from, sizeof(word));
      if (kCopy) memcpy(to, &word, sizeof(word));
    } else {
      // What is missing counts as zeros, also the second byte of the last 16 bits.
      memcpy(&word, from, size);
      if (kCopy) memcpy(to, from, size);
    }
    sum = Carried(sum, word);
    from += size;
    if (kCopy) to += size;
    length -= size;
  }
  // Of 33 bits at most: small numbers can be added without a thought of carries.
  return (sum & 0xffffffff) + (sum >> 32);
}

}  // namespace

uint64_t AddToSum(uint64_t sum, const uint8_t* data, size_t length) { return Sum<false>(sum, nullptr, data, length); }

uint64_t CopyAndSum(uint64_t sum, uint8_t* to, const uint8_t* from, size_t length) {
  return Sum<true>(sum, to, from, length);
}

uint16_t Fold(uint64_t sum) {
  sum = (sum & 0xffffffff) + (sum >> 32);
  sum = (sum & 0xffffffff) + (sum >> 32);
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>((sum & 0xffff) + (sum >> 16));
}

}  // namespace netkit
