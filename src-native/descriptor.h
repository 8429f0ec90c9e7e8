// One descriptor that is closed when nobody took it.
#ifndef NETKIT_DESCRIPTOR_H_
#define NETKIT_DESCRIPTOR_H_

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

namespace netkit {

class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() { Reset(-1); }

  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }

  void Reset(int fd) {
    if (fd_ >= 0) close(fd_);
    fd_ = fd;
  }

  int Release() {
    int fd = fd_;
    fd_ = -1;
    return fd;
  }

  // Becomes a close-on-exec duplicate of `fd`. Returns 0 or a negated errno.
  int Duplicate(int fd) {
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (copy < 0) return -errno;
    Reset(copy);
    return 0;
  }

 private:
  int fd_ = -1;
};

}  // namespace netkit

#endif  // NETKIT_DESCRIPTOR_H_
