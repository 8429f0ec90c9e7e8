// A receive ring of an AF_PACKET socket, TPACKET_V3 (Documentation/networking/packet_mmap.rst): blocks of memory that
// the kernel fills with frames and hands over one by one.
#ifndef NETKIT_PACKET_RING_H_
#define NETKIT_PACKET_RING_H_

#include "intake.h"

namespace netkit {

// For one thread at a time.
class PacketRing {
 public:
  PacketRing() = default;
  PacketRing(const PacketRing&) = delete;
  PacketRing& operator=(const PacketRing&) = delete;
  ~PacketRing() { Unmap(); }

  // Returns 0 or a negated errno.
  int Map(int fd, size_t block_size, uint32_t blocks);
  void Unmap();
  bool mapped() const { return memory_ != nullptr; }

  // The next frame, which stays in its place until Take(). False when none waits.
  bool Look(Arrival* arrival);
  void Take();

 private:
  uint8_t* memory_ = nullptr;
  size_t block_size_ = 0;
  uint32_t blocks_ = 0;
  uint32_t block_ = 0;   // the one that is being read, or is next
  uint32_t left_ = 0;    // frames in it that were not taken
  size_t position_ = 0;  // of the next of them in the block
  uint32_t step_ = 0;    // to the one behind it
};

}  // namespace netkit

#endif  // NETKIT_PACKET_RING_H_
