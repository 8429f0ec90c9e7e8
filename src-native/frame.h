// Frames in a slab: where each lies, and what an offload header says about it.
#ifndef NETKIT_FRAME_H_
#define NETKIT_FRAME_H_

#include <stddef.h>
#include <stdint.h>

namespace netkit {

// linux/virtio_net.h: struct virtio_net_hdr, in the host's byte order (which is little-endian wherever netkit runs).
struct OffloadHeader {
  uint8_t flags;
  uint8_t gso_type;
  uint16_t header_length;    // of the headers before the payload that is to be cut
  uint16_t gso_size;         // bytes of payload a segment
  uint16_t checksum_start;   // from the frame's beginning
  uint16_t checksum_offset;  // from checksum_start
};
constexpr size_t kOffloadHeaderSize = 10;
static_assert(sizeof(OffloadHeader) == kOffloadHeaderSize, "as the kernel has it");

// OffloadHeader.flags
constexpr uint8_t kNeedsChecksum = 1;  // VIRTIO_NET_HDR_F_NEEDS_CSUM: from checksum_start on, the sum is yet to be made
constexpr uint8_t kDataValid = 2;      // VIRTIO_NET_HDR_F_DATA_VALID
// OffloadHeader.gso_type
constexpr uint8_t kGsoNone = 0;
constexpr uint8_t kGsoTcp4 = 1;
constexpr uint8_t kGsoUdp = 3;  // UFO: IP fragments. No kernel since 4.14 makes it.
constexpr uint8_t kGsoTcp6 = 4;
constexpr uint8_t kGsoUdpL4 = 5;  // USO: datagrams of gso_size
constexpr uint8_t kGsoEcn = 0x80;

// What a writer takes, as TUNSETOFFLOAD has it (linux/if_tun.h).
constexpr uint32_t kOffloadChecksum = 0x01;
constexpr uint32_t kOffloadTso4 = 0x02;
constexpr uint32_t kOffloadTso6 = 0x04;
constexpr uint32_t kOffloadTsoEcn = 0x08;
constexpr uint32_t kOffloadUso4 = 0x20;
constexpr uint32_t kOffloadUso6 = 0x40;

// The place of a frame, as two elements of a Uint32Array. When the length has kHasHeader, an OffloadHeader lies in the
// kOffloadHeaderSize bytes right before `offset` (not aligned: copy it out). Without it, the frame is whole: no segment
// of it is to be cut, and its checksums are there.
constexpr uint32_t kHasHeader = 0x80000000u;
struct Span {
  uint32_t offset;
  uint32_t flagged_length;

  uint32_t length() const { return flagged_length & ~kHasHeader; }
  bool has_header() const { return (flagged_length & kHasHeader) != 0; }
};
static_assert(sizeof(Span) == 8, "two elements of a Uint32Array");

// Where frames begin in a slab: at multiples of this, plus the room for a header where there is one.
constexpr size_t kFrameAlignment = 64;
// The longest frame with its offload header that any end hands over.
constexpr size_t kFrameRoom = 65664;

}  // namespace netkit

#endif  // NETKIT_FRAME_H_
