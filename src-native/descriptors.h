// The descriptors that an environment closes at its end.
#ifndef NETKIT_DESCRIPTORS_H_
#define NETKIT_DESCRIPTORS_H_

#include <stdint.h>

namespace netkit {

class Poller;

// A table indexed by descriptor number, for the loop's thread only. A number leaves the table before it is closed, so a
// number that somebody else gets from the kernel is never taken for an owned one.
class Descriptors {
 public:
  Descriptors() = default;
  Descriptors(const Descriptors&) = delete;
  Descriptors& operator=(const Descriptors&) = delete;
  ~Descriptors();

  void Own(int fd);
  // False when it was not owned.
  bool Disown(int fd);
  bool Owns(int fd) const { return Has(fd) && slots_[fd].owned; }
  uint32_t owned() const { return owned_; }
  void CloseAll();

  // Jobs that were handed in and use the descriptor.
  void AddUser(int fd);
  void RemoveUser(int fd);
  bool Used(int fd) const { return Has(fd) && slots_[fd].users > 0; }

  // The error that receive() found behind the datagrams it returned; 0 when there is none.
  void KeepError(int fd, int error);
  int TakeError(int fd);

  // The poller that watches the descriptor, whoever owns that.
  Poller* poller(int fd) const { return Has(fd) ? slots_[fd].poller : nullptr; }
  // False when there is no memory.
  bool SetPoller(int fd, Poller* poller);

 private:
  struct Slot {
    Poller* poller;
    uint32_t users;
    int error;
    bool owned;
  };

  bool Has(int fd) const { return fd >= 0 && fd < size_; }
  bool Grow(int fd);

  Slot* slots_ = nullptr;
  int size_ = 0;
  uint32_t owned_ = 0;
};

}  // namespace netkit

#endif  // NETKIT_DESCRIPTORS_H_
