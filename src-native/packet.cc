#include "packet.h"

#include "checksum.h"

namespace netkit {

namespace {

constexpr size_t kMacs = 12;
constexpr size_t kTag = 4;
constexpr uint32_t kTags = 2;
// linux/if_ether.h
constexpr uint16_t kTypeIpv4 = 0x0800;
constexpr uint16_t kTypeIpv6 = 0x86dd;
constexpr uint16_t kTypeVlan = 0x8100;
constexpr uint16_t kTypeServiceVlan = 0x88a8;

// Extension headers of IPv6 (RFC 8200, section 4; RFC 4302 of the authentication header).
constexpr uint8_t kHopByHop = 0;
constexpr uint8_t kRouting = 43;
constexpr uint8_t kFragment = 44;
constexpr uint8_t kAuthentication = 51;
constexpr uint8_t kDestination = 60;
constexpr uint8_t kMobility = 135;
// More than any host sends (RFC 8504, section 5.3 lets a host refuse more than eight).
constexpr uint32_t kExtensions = 8;

// The offset of the IP header in an Ethernet frame, or 0 when there is none.
size_t NetworkOffset(const uint8_t* frame, size_t length) {
  size_t offset = kMacs;
  for (uint32_t tags = 0; offset + 2 <= length; tags++) {
    const uint16_t type = Load16(frame + offset);
    if (type == kTypeIpv4 || type == kTypeIpv6) return offset + 2;
    if ((type != kTypeVlan && type != kTypeServiceVlan) || tags == kTags) return 0;
    offset += kTag;
  }
  return 0;
}

bool ParseIpv4(const uint8_t* frame, size_t length, Packet* packet) {
  const size_t start = packet->network;
  if (length - start < kIpv4Header) return false;
  const size_t header = static_cast<size_t>(frame[start] & 15) * 4;
  const size_t total = Load16(frame + start + 2);
  if (header < kIpv4Header || total < header || total > length - start) return false;
  packet->transport = static_cast<uint32_t>(start + header);
  packet->end = static_cast<uint32_t>(start + total);
  packet->protocol = frame[start + 9];
  // More fragments, or an offset.
  packet->fragment = (Load16(frame + start + 6) & 0x3fff) != 0;
  packet->plain = header == kIpv4Header;
  return true;
}

bool ParseIpv6(const uint8_t* frame, size_t length, Packet* packet) {
  const size_t start = packet->network;
  if (length - start < kIpv6Header) return false;
  const size_t end = start + kIpv6Header + Load16(frame + start + 4);
  if (end > length) return false;
  size_t offset = start + kIpv6Header;
  uint8_t next = frame[start + 6];
  packet->fragment = false;
  packet->plain = true;
  for (uint32_t count = 0;; count++) {
    const bool is_extension = next == kHopByHop || next == kRouting || next == kFragment || next == kAuthentication ||
                              next == kDestination || next == kMobility;
    if (!is_extension) break;
    if (count == kExtensions || end - offset < 8) return false;
    size_t size = 8;
    if (next == kFragment) packet->fragment = true;
    if (next == kAuthentication) size = (static_cast<size_t>(frame[offset + 1]) + 2) * 4;
    if (next != kFragment && next != kAuthentication) size = (static_cast<size_t>(frame[offset + 1]) + 1) * 8;
    if (size > end - offset) return false;
    packet->plain = false;
    next = frame[offset];
    offset += size;
    // Behind it there is whatever the fragment has, which may be the middle of something.
    if (packet->fragment) break;
  }
  packet->transport = static_cast<uint32_t>(offset);
  packet->end = static_cast<uint32_t>(end);
  packet->protocol = next;
  return true;
}

}  // namespace

bool ParsePacket(const uint8_t* frame, size_t length, bool layer3, Packet* packet) {
  if (length >= kHasHeader) return false;
  size_t network = 0;
  if (!layer3) {
    network = NetworkOffset(frame, length);
    if (network == 0) return false;
  }
  if (network >= length) return false;
  packet->network = static_cast<uint32_t>(network);
  packet->version = frame[network] >> 4;
  if (!layer3 && Load16(frame + network - 2) != (packet->version == 4 ? kTypeIpv4 : kTypeIpv6)) return false;
  if (packet->version == 4) {
    if (!ParseIpv4(frame, length, packet)) return false;
  } else if (packet->version == 6) {
    if (!ParseIpv6(frame, length, packet)) return false;
  } else {
    return false;
  }

  packet->payload = packet->transport;
  if (packet->fragment) return true;
  const size_t left = packet->end - packet->transport;
  size_t header = 0;
  if (packet->protocol == kTcp) {
    if (left < kTcpHeader) return false;
    header = static_cast<size_t>(frame[packet->transport + 12] >> 4) * 4;
    if (header < kTcpHeader || header > left) return false;
  } else if (packet->protocol == kUdp) {
    header = kUdpHeader;
    if (header > left) return false;
  }
  packet->payload += static_cast<uint32_t>(header);
  return true;
}

uint64_t PseudoSum(const uint8_t* frame, const Packet& packet) {
  const uint8_t* const ip = frame + packet.network;
  const uint64_t addresses = packet.version == 4 ? AddToSum(0, ip + 12, 8) : AddToSum(0, ip + 8, 32);
  return addresses + AsRaw16(packet.protocol);
}

}  // namespace netkit
