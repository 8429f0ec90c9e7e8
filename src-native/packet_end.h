// The end on an AF_PACKET socket (packet(7)).
#ifndef NETKIT_PACKET_END_H_
#define NETKIT_PACKET_END_H_

#include "end.h"
#include "intake.h"
#include "lock.h"
#include "packet_ring.h"

namespace netkit {

// The socket has PACKET_VNET_HDR and PACKET_AUXDATA.
class PacketSocketEnd : public End {
 public:
  struct Settings {
    bool layer3;
    // Whether Read() hands over offload headers.
    bool offload;
    // Not bound to one link: it cannot be written, and does not end with a link.
    bool all_links;
    // What Write() leaves to the kernel.
    uint32_t offloads;
    // The length of frames that the link usually has.
    uint32_t frame_length;
  };

  PacketSocketEnd(int fd, const Settings& settings);

  // Maps the socket's ring. Returns 0 or a negated errno.
  int MapRing(size_t block_size, uint32_t blocks) {
    has_ring_ = true;
    return ring_.Map(fd_, block_size, blocks);
  }
  // Lets go of the ring, which would keep the socket open. Read() then says that the end is gone.
  void Shut();
  // Frames that the kernel dropped for want of room since the socket was opened, and those that were lost on the way
  // into a slab.
  uint64_t Dropped();

  int Read(uint8_t* slab, size_t size, size_t position, Span* spans, uint32_t max, FrameDetail* details) override;
  int Write(const uint8_t* slab, size_t size, const Span* spans, uint32_t count) override;
  bool pending() const override { return intake_.keeps() || gone_.load(std::memory_order_relaxed); }
  uint32_t look_again() const override { return down_.load(std::memory_order_relaxed) ? kLookAgain : 0; }
  uint32_t offloads() const override { return settings_.offloads; }
  bool batches() const override { return true; }
  const void* kind() const override { return &kKind; }

  static const char kKind;
  // How often a link that is down is looked at, in milliseconds: the kernel does not tell when it is deleted then.
  static constexpr uint32_t kLookAgain = 100;

 protected:
  ~PacketSocketEnd() override;

 private:
  struct Reception;

  bool Prepare();
  bool IsLinkGone();
  bool IsLinkUp();
  void LookAtLink();
  int ReadSocket(Delivery& delivery, Tally& tally);
  int ReadRing(Delivery& delivery);
  // An error of reading. Returns 0 when reading can go on.
  int Recover(int error);
  void Accept(Delivery& delivery, int count, size_t stride, Tally& tally);
  int WriteSome(const uint8_t* slab, size_t size, const Span* spans, uint32_t count, Tally& tally);
  void Lost() { lost_.fetch_add(1, std::memory_order_relaxed); }

  const Settings settings_;
  const size_t frame_length_;
  Intake intake_;
  bool has_ring_ = false;
  PacketRing ring_;
  Mutex ring_mutex_;  // between reading the ring and letting go of it
  Reception* reception_ = nullptr;
  uint32_t long_frames_ = 0;  // so many more calls expect frames that are longer than usual
  std::atomic<bool> gone_{false};
  std::atomic<bool> down_{false};  // the link, when it was last looked at
  std::atomic<bool> shut_{false};
  std::atomic<uint64_t> lost_{0};
  std::atomic<uint64_t> dropped_{0};
};

}  // namespace netkit

#endif  // NETKIT_PACKET_END_H_
