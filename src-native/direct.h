// read(2), write(2) and writev(2) without the C library, for loops that do little else. In a process with threads its
// functions are cancellation points, which costs two atomic operations a call, and behind a system call their return
// is mispredicted where the kernel clears the processor's return predictor: together up to a tenth of the time that a
// frame takes.
#ifndef NETKIT_DIRECT_H_
#define NETKIT_DIRECT_H_

#include <errno.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

// Sanitizers have to see what is read and written.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define NETKIT_DIRECT 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define NETKIT_DIRECT 0
#endif
#endif
#if !defined(NETKIT_DIRECT) && defined(__linux__) && defined(__LP64__) && (defined(__x86_64__) || defined(__aarch64__))
#define NETKIT_DIRECT 1
#endif

namespace netkit {

// A system call with three arguments: its result, or a negated errno.
inline ssize_t SystemCall(long number, long first, const void* second, size_t third) {
#if NETKIT_DIRECT && defined(__x86_64__)
  long result;
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "a"(number), "D"(first), "S"(second), "d"(third)
                   : "rcx", "r11", "memory", "cc");
  return result;
#elif NETKIT_DIRECT && defined(__aarch64__)
  register long x8 __asm__("x8") = number;
  register long x0 __asm__("x0") = first;
  register const void* x1 __asm__("x1") = second;
  register size_t x2 __asm__("x2") = third;
  __asm__ volatile("svc #0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2) : "memory", "cc");
  return x0;
#else
  ssize_t result;
  void* data = const_cast<void*>(second);
  switch (number) {
    case SYS_read:
      result = read(static_cast<int>(first), data, third);
      break;
    case SYS_write:
      result = write(static_cast<int>(first), data, third);
      break;
    case SYS_writev:
      result = writev(static_cast<int>(first), static_cast<const iovec*>(second), static_cast<int>(third));
      break;
    default:
      result = syscall(number, first, data, third);
  }
  return result < 0 ? -errno : result;
#endif
}

// The same again after an interruption.
inline ssize_t Insist(long number, int fd, const void* data, size_t size) {
  ssize_t result;
  do {
    result = SystemCall(number, fd, data, size);
  } while (result == -EINTR);
  return result;
}

// Each returns the number of bytes or a negated errno.
inline ssize_t ReadDirect(int fd, void* buffer, size_t size) { return Insist(SYS_read, fd, buffer, size); }
inline ssize_t WriteDirect(int fd, const void* data, size_t size) { return Insist(SYS_write, fd, data, size); }
inline ssize_t WritevDirect(int fd, const iovec* parts, size_t count) { return Insist(SYS_writev, fd, parts, count); }

}  // namespace netkit

#endif  // NETKIT_DIRECT_H_
