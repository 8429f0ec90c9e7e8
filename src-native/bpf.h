// Filters of packets: classic BPF programs, as SO_ATTACH_FILTER takes them, checked and run in this process.
#ifndef NETKIT_BPF_H_
#define NETKIT_BPF_H_

#include <linux/filter.h>
#include <stddef.h>
#include <stdint.h>

namespace netkit {

// Checks a program as the kernel does (bpf_check_classic() of net/core/filter.c). Returns 0, or -(1 + i) where
// instruction i is the first that the kernel does not take; -(1 + count) when the program is empty, too long, or does
// not end with a return.
int CheckFilter(const sock_filter* program, size_t count);

// A checked program. Run() may be called by several threads at a time.
class PacketFilter {
 public:
  PacketFilter(const PacketFilter&) = delete;
  PacketFilter& operator=(const PacketFilter&) = delete;
  ~PacketFilter() { delete[] program_; }

  // Copies the program. Null, with *error set (which may be null): -EINVAL when the kernel would not take it,
  // -EOPNOTSUPP when it asks for what only the kernel has (a mark, an interface …), -ENOMEM. To be deleted.
  static PacketFilter* Create(const sock_filter* program, size_t count, int* error = nullptr);
  // The same of an array of struct sock_filter as it came from JavaScript, which need not be aligned.
  static PacketFilter* Create(const uint8_t* bytes, size_t size, int* error = nullptr);

  // How many bytes of the frame to keep: 0 drops it, and what is more than its length keeps it whole. A load beyond the
  // frame's end drops it, as in the kernel. Takes one step an instruction at most: there are no jumps backwards.
  uint32_t Run(const uint8_t* frame, size_t length) const;
  bool Matches(const uint8_t* frame, size_t length) const { return Run(frame, length) != 0; }

 private:
  explicit PacketFilter(const sock_filter* program) : program_(program) {}

  const sock_filter* program_;
};

}  // namespace netkit

#endif  // NETKIT_BPF_H_
