#include "bpf.h"

#include <errno.h>
#include <string.h>

#include <new>

#include "arguments.h"
#include "frame.h"
#include "functions.h"

namespace netkit {

namespace {

// Where ancillary data begins among the offsets of absolute loads: SKF_AD_OFF, which linux/filter.h has as a negative.
constexpr uint32_t kAncillary = static_cast<uint32_t>(SKF_AD_OFF);

enum class Kind { kUnknown, kLoad, kMemoryRead, kMemoryWrite, kDivide, kShift, kJump, kBranch, kReturn, kOther };

// What an instruction is, as far as checking goes.
Kind KindOf(uint16_t code) {
  switch (code) {
    case BPF_LD | BPF_W | BPF_ABS:
    case BPF_LD | BPF_H | BPF_ABS:
    case BPF_LD | BPF_B | BPF_ABS:
      return Kind::kLoad;
    case BPF_LD | BPF_MEM:
    case BPF_LDX | BPF_MEM:
      return Kind::kMemoryRead;
    case BPF_ST:
    case BPF_STX:
      return Kind::kMemoryWrite;
    case BPF_ALU | BPF_DIV | BPF_K:
    case BPF_ALU | BPF_MOD | BPF_K:
      return Kind::kDivide;
    case BPF_ALU | BPF_LSH | BPF_K:
    case BPF_ALU | BPF_RSH | BPF_K:
      return Kind::kShift;
    case BPF_JMP | BPF_JA:
      return Kind::kJump;
    case BPF_JMP | BPF_JEQ | BPF_K:
    case BPF_JMP | BPF_JEQ | BPF_X:
    case BPF_JMP | BPF_JGE | BPF_K:
    case BPF_JMP | BPF_JGE | BPF_X:
    case BPF_JMP | BPF_JGT | BPF_K:
    case BPF_JMP | BPF_JGT | BPF_X:
    case BPF_JMP | BPF_JSET | BPF_K:
    case BPF_JMP | BPF_JSET | BPF_X:
      return Kind::kBranch;
    case BPF_RET | BPF_K:
    case BPF_RET | BPF_A:
      return Kind::kReturn;
    case BPF_LD | BPF_W | BPF_LEN:
    case BPF_LD | BPF_W | BPF_IND:
    case BPF_LD | BPF_H | BPF_IND:
    case BPF_LD | BPF_B | BPF_IND:
    case BPF_LD | BPF_IMM:
    case BPF_LDX | BPF_W | BPF_LEN:
    case BPF_LDX | BPF_B | BPF_MSH:
    case BPF_LDX | BPF_IMM:
    case BPF_ALU | BPF_ADD | BPF_K:
    case BPF_ALU | BPF_ADD | BPF_X:
    case BPF_ALU | BPF_SUB | BPF_K:
    case BPF_ALU | BPF_SUB | BPF_X:
    case BPF_ALU | BPF_MUL | BPF_K:
    case BPF_ALU | BPF_MUL | BPF_X:
    case BPF_ALU | BPF_DIV | BPF_X:
    case BPF_ALU | BPF_MOD | BPF_X:
    case BPF_ALU | BPF_AND | BPF_K:
    case BPF_ALU | BPF_AND | BPF_X:
    case BPF_ALU | BPF_OR | BPF_K:
    case BPF_ALU | BPF_OR | BPF_X:
    case BPF_ALU | BPF_XOR | BPF_K:
    case BPF_ALU | BPF_XOR | BPF_X:
    case BPF_ALU | BPF_LSH | BPF_X:
    case BPF_ALU | BPF_RSH | BPF_X:
    case BPF_ALU | BPF_NEG:
    case BPF_MISC | BPF_TAX:
    case BPF_MISC | BPF_TXA:
      return Kind::kOther;
    default:
      return Kind::kUnknown;
  }
}

// Whether the kernel has ancillary data at this offset: every fourth from SKF_AD_PROTOCOL to SKF_AD_VLAN_TPID.
bool IsAncillary(uint32_t k) { return k >= kAncillary && k - kAncillary < SKF_AD_MAX && (k - kAncillary) % 4 == 0; }

// Whether instruction i alone is one that the kernel takes.
bool IsValid(const sock_filter& instruction, size_t i, size_t count) {
  const uint32_t k = instruction.k;
  const size_t behind = count - i - 1;
  switch (KindOf(instruction.code)) {
    case Kind::kUnknown:
      return false;
    case Kind::kLoad:
      return k < kAncillary || IsAncillary(k);
    case Kind::kMemoryRead:
    case Kind::kMemoryWrite:
      return k < BPF_MEMWORDS;
    case Kind::kDivide:
      return k != 0;
    case Kind::kShift:
      return k < 32;
    case Kind::kJump:
      return k < behind;
    case Kind::kBranch:
      return instruction.jt < behind && instruction.jf < behind;
    default:
      return true;
  }
}

// Whether Run() knows what to load. Frames here carry their VLAN tags in them, so that there is none beside; an offset
// from the network header or the link header (SKF_NET_OFF, SKF_LL_OFF) is one that depends on the socket.
bool IsSupported(const sock_filter& instruction) {
  if (KindOf(instruction.code) != Kind::kLoad || instruction.k <= INT32_MAX) return true;
  switch (instruction.k - kAncillary) {
    case SKF_AD_ALU_XOR_X:
    case SKF_AD_VLAN_TAG:
    case SKF_AD_VLAN_TAG_PRESENT:
    case SKF_AD_VLAN_TPID:
      return true;
    default:
      return false;
  }
}

// Big-endian numbers of a frame. The offset is one of the kernel's: as a signed number, and below zero in no frame.
class Frame {
 public:
  Frame(const uint8_t* data, size_t length) : data_(data), length_(length) {}

  bool Has(uint32_t offset, size_t size) const {
    return offset <= INT32_MAX && size <= length_ && offset <= length_ - size;
  }
  uint32_t Byte(uint32_t at) const { return data_[at]; }
  uint32_t Half(uint32_t at) const { return static_cast<uint32_t>(data_[at]) << 8 | data_[at + 1]; }
  uint32_t Word(uint32_t at) const { return Half(at) << 16 | Half(at + 2); }
  uint32_t length() const { return static_cast<uint32_t>(length_); }

 private:
  const uint8_t* data_;
  size_t length_;
};

}  // namespace

int CheckFilter(const sock_filter* program, size_t count) {
  if (count == 0 || count > BPF_MAXINSNS) return -1 - static_cast<int>(count);
  for (size_t i = 0; i < count; i++) {
    if (!IsValid(program[i], i, count)) return -1 - static_cast<int>(i);
  }
  if (KindOf(program[count - 1].code) != Kind::kReturn) return -1 - static_cast<int>(count);

  // Every word of memory is written before it is read, on each way there: `written[i]` has a bit for each word that all
  // jumps to instruction i have behind them. As the kernel does, what follows a return counts as reached from it.
  uint16_t written[BPF_MAXINSNS];
  memset(written, 0xff, count * sizeof(*written));
  uint16_t now = 0;
  for (size_t i = 0; i < count; i++) {
    const sock_filter& instruction = program[i];
    now &= written[i];
    switch (KindOf(instruction.code)) {
      case Kind::kMemoryWrite:
        now = static_cast<uint16_t>(now | 1u << instruction.k);
        break;
      case Kind::kMemoryRead:
        if ((now & 1u << instruction.k) == 0) return -1 - static_cast<int>(i);
        break;
      case Kind::kJump:
        written[i + 1 + instruction.k] &= now;
        now = 0xffff;
        break;
      case Kind::kBranch:
        written[i + 1 + instruction.jt] &= now;
        written[i + 1 + instruction.jf] &= now;
        now = 0xffff;
        break;
      default:
        break;
    }
  }
  return 0;
}

PacketFilter* PacketFilter::Create(const sock_filter* program, size_t count, int* error) {
  return Create(reinterpret_cast<const uint8_t*>(program), count * sizeof(sock_filter), error);
}

PacketFilter* PacketFilter::Create(const uint8_t* bytes, size_t size, int* error) {
  int ignored;
  if (error == nullptr) error = &ignored;
  const size_t count = size / sizeof(sock_filter);
  *error = -EINVAL;
  if (count == 0 || count > BPF_MAXINSNS || size % sizeof(sock_filter) != 0) return nullptr;
  sock_filter* program = new (std::nothrow) sock_filter[count];
  PacketFilter* filter = program == nullptr ? nullptr : new (std::nothrow) PacketFilter(program);
  if (filter == nullptr) {
    delete[] program;
    *error = -ENOMEM;
    return nullptr;
  }
  memcpy(program, bytes, size);
  *error = CheckFilter(program, count) == 0 ? 0 : -EINVAL;
  for (size_t i = 0; *error == 0 && i < count; i++) {
    if (!IsSupported(program[i])) *error = -EOPNOTSUPP;
  }
  if (*error == 0) return filter;
  delete filter;
  return nullptr;
}

uint32_t PacketFilter::Run(const uint8_t* data, size_t length) const {
  const Frame frame(data, length);
  uint32_t a = 0, x = 0;
  // Check() has made sure that no word is read before it is written; the compiler cannot know.
  uint32_t memory[BPF_MEMWORDS] = {};
  // The last instruction returns, and no jump leads behind it.
  for (const sock_filter* next = program_;; next++) {
    const uint32_t k = next->k;
    switch (next->code) {
      case BPF_LD | BPF_W | BPF_ABS:
        if (k > INT32_MAX) {
          a = k - kAncillary == SKF_AD_ALU_XOR_X ? a ^ x : 0;
          break;
        }
        if (!frame.Has(k, 4)) return 0;
        a = frame.Word(k);
        break;
      case BPF_LD | BPF_H | BPF_ABS:
        if (k > INT32_MAX) {
          a = k - kAncillary == SKF_AD_ALU_XOR_X ? a ^ x : 0;
          break;
        }
        if (!frame.Has(k, 2)) return 0;
        a = frame.Half(k);
        break;
      case BPF_LD | BPF_B | BPF_ABS:
        if (k > INT32_MAX) {
          a = k - kAncillary == SKF_AD_ALU_XOR_X ? a ^ x : 0;
          break;
        }
        if (!frame.Has(k, 1)) return 0;
        a = frame.Byte(k);
        break;
      case BPF_LD | BPF_W | BPF_IND:
        if (!frame.Has(x + k, 4)) return 0;
        a = frame.Word(x + k);
        break;
      case BPF_LD | BPF_H | BPF_IND:
        if (!frame.Has(x + k, 2)) return 0;
        a = frame.Half(x + k);
        break;
      case BPF_LD | BPF_B | BPF_IND:
        if (!frame.Has(x + k, 1)) return 0;
        a = frame.Byte(x + k);
        break;
      case BPF_LDX | BPF_B | BPF_MSH:
        if (!frame.Has(k, 1)) return 0;
        x = (frame.Byte(k) & 15) * 4;
        break;
      case BPF_LD | BPF_W | BPF_LEN:
        a = frame.length();
        break;
      case BPF_LDX | BPF_W | BPF_LEN:
        x = frame.length();
        break;
      case BPF_LD | BPF_IMM:
        a = k;
        break;
      case BPF_LDX | BPF_IMM:
        x = k;
        break;
      case BPF_LD | BPF_MEM:
        a = memory[k];
        break;
      case BPF_LDX | BPF_MEM:
        x = memory[k];
        break;
      case BPF_ST:
        memory[k] = a;
        break;
      case BPF_STX:
        memory[k] = x;
        break;
      case BPF_ALU | BPF_ADD | BPF_K:
        a += k;
        break;
      case BPF_ALU | BPF_ADD | BPF_X:
        a += x;
        break;
      case BPF_ALU | BPF_SUB | BPF_K:
        a -= k;
        break;
      case BPF_ALU | BPF_SUB | BPF_X:
        a -= x;
        break;
      case BPF_ALU | BPF_MUL | BPF_K:
        a *= k;
        break;
      case BPF_ALU | BPF_MUL | BPF_X:
        a *= x;
        break;
      case BPF_ALU | BPF_DIV | BPF_K:
        a /= k;
        break;
      case BPF_ALU | BPF_DIV | BPF_X:
        if (x == 0) return 0;
        a /= x;
        break;
      case BPF_ALU | BPF_MOD | BPF_K:
        a %= k;
        break;
      case BPF_ALU | BPF_MOD | BPF_X:
        if (x == 0) return 0;
        a %= x;
        break;
      case BPF_ALU | BPF_AND | BPF_K:
        a &= k;
        break;
      case BPF_ALU | BPF_AND | BPF_X:
        a &= x;
        break;
      case BPF_ALU | BPF_OR | BPF_K:
        a |= k;
        break;
      case BPF_ALU | BPF_OR | BPF_X:
        a |= x;
        break;
      case BPF_ALU | BPF_XOR | BPF_K:
        a ^= k;
        break;
      case BPF_ALU | BPF_XOR | BPF_X:
        a ^= x;
        break;
      case BPF_ALU | BPF_LSH | BPF_K:
        a <<= k;
        break;
      case BPF_ALU | BPF_LSH | BPF_X:
        // The kernel looks at the lowest five bits only.
        a <<= x & 31;
        break;
      case BPF_ALU | BPF_RSH | BPF_K:
        a >>= k;
        break;
      case BPF_ALU | BPF_RSH | BPF_X:
        a >>= x & 31;
        break;
      case BPF_ALU | BPF_NEG:
        a = 0 - a;
        break;
      case BPF_JMP | BPF_JA:
        next += k;
        break;
      case BPF_JMP | BPF_JEQ | BPF_K:
        next += a == k ? next->jt : next->jf;
        break;
      case BPF_JMP | BPF_JEQ | BPF_X:
        next += a == x ? next->jt : next->jf;
        break;
      case BPF_JMP | BPF_JGT | BPF_K:
        next += a > k ? next->jt : next->jf;
        break;
      case BPF_JMP | BPF_JGT | BPF_X:
        next += a > x ? next->jt : next->jf;
        break;
      case BPF_JMP | BPF_JGE | BPF_K:
        next += a >= k ? next->jt : next->jf;
        break;
      case BPF_JMP | BPF_JGE | BPF_X:
        next += a >= x ? next->jt : next->jf;
        break;
      case BPF_JMP | BPF_JSET | BPF_K:
        next += (a & k) != 0 ? next->jt : next->jf;
        break;
      case BPF_JMP | BPF_JSET | BPF_X:
        next += (a & x) != 0 ? next->jt : next->jf;
        break;
      case BPF_MISC | BPF_TAX:
        x = a;
        break;
      case BPF_MISC | BPF_TXA:
        a = x;
        break;
      case BPF_RET | BPF_K:
        return k;
      case BPF_RET | BPF_A:
        return a;
      default:
        // Check() lets nothing else through.
        return 0;
    }
  }
}

napi_value CheckFilter(napi_env env, napi_callback_info info) {
  Arguments<1> arguments(env, info);
  Bytes bytes = arguments.Octets(0);
  if (!arguments.ok()) return nullptr;
  const size_t count = bytes.length / sizeof(sock_filter);
  if (count > BPF_MAXINSNS) return Number(env, -1 - static_cast<double>(count));
  sock_filter program[BPF_MAXINSNS];
  if (count > 0) memcpy(program, bytes.data, count * sizeof(sock_filter));
  return Number(env, CheckFilter(program, count));
}

napi_value RunFilter(napi_env env, napi_callback_info info) {
  Arguments<5> arguments(env, info);
  Bytes program = arguments.Octets(0);
  Bytes slab = arguments.Octets(1);
  Elements<uint32_t> spans = arguments.Words(2);
  uint32_t count = arguments.Unsigned(3);
  Elements<uint32_t> results = arguments.Words(4);
  if (!arguments.ok()) return nullptr;
  if (count > spans.length / 2 || count > results.length) return Number(env, -EINVAL);
  int error;
  PacketFilter* filter = PacketFilter::Create(program.data, program.length, &error);
  if (filter == nullptr) return Number(env, error);
  uint32_t matched = 0;
  for (uint32_t i = 0; i < count; i++) {
    const size_t offset = spans.data[2 * i];
    const size_t length = spans.data[2 * i + 1] & ~kHasHeader;
    // A span that leaves the slab is no frame.
    const bool fits = offset <= slab.length && length <= slab.length - offset;
    results.data[i] = fits ? filter->Run(slab.data + offset, length) : 0;
    if (results.data[i] != 0) matched++;
  }
  delete filter;
  return Number(env, matched);
}

}  // namespace netkit
