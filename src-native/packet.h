// Where the headers of a frame are: Ethernet with VLAN tags, IPv4, IPv6, TCP, UDP.
#ifndef NETKIT_PACKET_H_
#define NETKIT_PACKET_H_

#include <stddef.h>
#include <stdint.h>

namespace netkit {

// Assigned Internet protocol numbers.
constexpr uint8_t kTcp = 6;
constexpr uint8_t kUdp = 17;
constexpr uint8_t kSctp = 132;

// TCP: flags in byte 13 of the header (RFC 9293, section 3.1).
constexpr size_t kTcpFlags = 13;
constexpr uint8_t kFin = 0x01;
constexpr uint8_t kSyn = 0x02;
constexpr uint8_t kRst = 0x04;
constexpr uint8_t kPsh = 0x08;
constexpr uint8_t kAck = 0x10;
constexpr uint8_t kCwr = 0x80;
constexpr size_t kTcpHeader = 20;
constexpr size_t kUdpHeader = 8;
constexpr size_t kIpv4Header = 20;
constexpr size_t kIpv6Header = 40;
// Where the checksum is in the header.
constexpr uint16_t kTcpChecksum = 16;
constexpr uint16_t kUdpChecksum = 6;

// Offsets from the frame's beginning. All of them are inside of the frame: network < transport <= payload <= end.
struct Packet {
  uint32_t network;
  uint32_t transport;
  uint32_t payload;  // behind the TCP or UDP header; of other protocols, as `transport`
  uint32_t end;      // of the IP packet, by its own length: an Ethernet frame may have padding behind it
  uint8_t version;   // 4 or 6
  uint8_t protocol;
  bool fragment;  // any but a whole packet: there may be no transport header
  bool plain;     // no options and no extension headers

  uint32_t payload_length() const { return end - payload; }
};

// False when there is no IP packet, or not the whole of it and of its headers.
bool ParsePacket(const uint8_t* frame, size_t length, bool layer3, Packet* packet);

// The sum of the pseudo header of TCP and UDP (RFC 9293, section 3.1; RFC 8200, section 8.1) but for the length.
uint64_t PseudoSum(const uint8_t* frame, const Packet& packet);

}  // namespace netkit

#endif  // NETKIT_PACKET_H_
