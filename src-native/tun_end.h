// The end that a tap, a tun or a macvtap is: a descriptor of which every read and every write is one frame.
#ifndef NETKIT_TUN_END_H_
#define NETKIT_TUN_END_H_

#include "end.h"

namespace netkit {

// What writing to tap and tun descriptors is made of, header or not.
class TunEnd : public End {
 public:
  // `headers`: IFF_VNET_HDR is on, with a header of kOffloadHeaderSize. `offloads`: what the kernel takes then.
  TunEnd(int fd, bool layer3, bool headers, uint32_t offloads)
      : End(fd, layer3), headers_(headers), offloads_(headers ? offloads : 0) {}

  int Read(uint8_t* slab, size_t size, size_t position, Span* spans, uint32_t max, FrameDetail* details) override;
  int Write(const uint8_t* slab, size_t size, const Span* spans, uint32_t count) override;
  uint32_t offloads() const override { return offloads_; }

 private:
  const bool headers_;
  const uint32_t offloads_;
};

}  // namespace netkit

#endif  // NETKIT_TUN_END_H_
