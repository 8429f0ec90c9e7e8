#include "packet_ring.h"

#include <linux/if_packet.h>
#include <string.h>
#include <sys/mman.h>

namespace netkit {

int PacketRing::Map(int fd, size_t block_size, uint32_t blocks) {
  void* memory = mmap(nullptr, block_size * blocks, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (memory == MAP_FAILED) return -errno;
  memory_ = static_cast<uint8_t*>(memory);
  block_size_ = block_size;
  blocks_ = blocks;
  return 0;
}

void PacketRing::Unmap() {
  if (memory_ != nullptr) munmap(memory_, block_size_ * blocks_);
  memory_ = nullptr;
  left_ = 0;
}

bool PacketRing::Look(Arrival* arrival) {
  uint8_t* block = memory_ + block_ * block_size_;
  while (left_ == 0) {
    const tpacket_hdr_v1* description = &reinterpret_cast<tpacket_block_desc*>(block)->hdr.bh1;
    if ((__atomic_load_n(&description->block_status, __ATOMIC_ACQUIRE) & TP_STATUS_USER) == 0) return false;
    left_ = description->num_pkts;
    position_ = description->offset_to_first_pkt;
    if (left_ > 0) break;
    left_ = 1;
    step_ = 0;
    Take();
    block = memory_ + block_ * block_size_;
  }
  tpacket3_hdr header;
  sockaddr_ll from;
  const size_t address = TPACKET_ALIGN(sizeof(header));
  // The kernel writes what is right; but a child that inherited the descriptor might not.
  bool valid = position_ <= block_size_ && address + sizeof(from) <= block_size_ - position_;
  if (valid) {
    memcpy(&header, block + position_, sizeof(header));
    memcpy(&from, block + position_ + address, sizeof(from));
    valid = header.tp_mac >= address + kOffloadHeaderSize && header.tp_snaplen < kHasHeader &&
            header.tp_mac + size_t{header.tp_snaplen} <= block_size_ - position_;
  }
  if (!valid) {
    left_ = 1;
    Take();
    return false;
  }
  step_ = header.tp_next_offset;
  arrival->data = block + position_ + header.tp_mac;
  arrival->length = header.tp_snaplen;
  arrival->original_length = header.tp_len;
  memcpy(&arrival->header, arrival->data - kOffloadHeaderSize, kOffloadHeaderSize);
  arrival->tag_protocol = 0;
  arrival->tag_control = static_cast<uint16_t>(header.hv1.tp_vlan_tci);
  if ((header.tp_status & TP_STATUS_VLAN_VALID) != 0) {
    arrival->tag_protocol =
        (header.tp_status & TP_STATUS_VLAN_TPID_VALID) != 0 ? header.hv1.tp_vlan_tpid : kVlanProtocol;
  }
  arrival->time = header.tp_sec * uint64_t{1000000000} + header.tp_nsec;
  arrival->flags = from.sll_pkttype == PACKET_OUTGOING ? kOutbound : kInbound;
  return true;
}

void PacketRing::Take() {
  position_ += step_;
  if (--left_ > 0) return;
  tpacket_hdr_v1* description = &reinterpret_cast<tpacket_block_desc*>(memory_ + block_ * block_size_)->hdr.bh1;
  __atomic_store_n(&description->block_status, static_cast<uint32_t>(TP_STATUS_KERNEL), __ATOMIC_RELEASE);
  block_ = block_ + 1 == blocks_ ? 0 : block_ + 1;
}

}  // namespace netkit
