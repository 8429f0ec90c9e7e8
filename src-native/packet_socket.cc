// What JavaScript does with the end on an AF_PACKET socket, beside reading and writing.
#include <linux/filter.h>
#include <linux/if_arp.h>
#include <linux/if_packet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "arguments.h"
#include "environment.h"
#include "functions.h"
#include "packet_end.h"

namespace netkit {

namespace {

// Null, with a TypeError pending, for any other end.
PacketSocketEnd* PacketEndOf(napi_env env, napi_value value) {
  End* end = EndOf(env, value);
  if (end == nullptr) return nullptr;
  if (end->kind() == &PacketSocketEnd::kKind) return static_cast<PacketSocketEnd*>(end);
  napi_throw_type_error(env, nullptr, "not the end of a packet socket");
  return nullptr;
}

// Bits of createPacketEnd's second argument.
constexpr uint32_t kOffload = 1;
constexpr uint32_t kAllLinks = 2;

// Whether frames of the link that a socket is bound to are IP packets without anything before.
bool IsLayer3(int fd) {
  sockaddr_ll address = {};
  socklen_t length = sizeof(address);
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length) != 0 || address.sll_ifindex <= 0) return false;
  switch (address.sll_hatype) {
    case ARPHRD_NONE:
    case ARPHRD_RAWIP:
    case ARPHRD_TUNNEL:
    case ARPHRD_TUNNEL6:
    case ARPHRD_SIT:
      return true;
    default:
      return false;
  }
}

}  // namespace

napi_value CreatePacketEnd(napi_env env, napi_callback_info info) {
  Arguments<6> arguments(env, info);
  int fd = arguments.Integer(0);
  uint32_t flags = arguments.Unsigned(1);
  PacketSocketEnd::Settings settings = {};
  settings.layer3 = IsLayer3(fd);
  settings.offload = (flags & kOffload) != 0;
  settings.all_links = (flags & kAllLinks) != 0;
  settings.offloads = arguments.Unsigned(2);
  settings.frame_length = arguments.Unsigned(3);
  size_t block_size = arguments.Size(4);
  uint32_t blocks = arguments.Unsigned(5);
  if (!arguments.ok()) return nullptr;
  if (settings.frame_length == 0 || block_size > UINT32_MAX) return Number(env, -EINVAL);
  PacketSocketEnd* end = new PacketSocketEnd(fd, settings);
  const int error = blocks > 0 ? end->MapRing(block_size, blocks) : 0;
  if (error == 0) return WrapEnd(arguments.environment(), end);
  end->Unref();
  return Number(env, error);
}

napi_value PacketDrops(napi_env env, napi_callback_info info) {
  Arguments<1> arguments(env, info);
  PacketSocketEnd* end = arguments.ok() ? PacketEndOf(env, arguments.value(0)) : nullptr;
  return end == nullptr ? nullptr : Number(env, static_cast<double>(end->Dropped()));
}

napi_value LookAgain(napi_env env, napi_callback_info info) {
  Arguments<1> arguments(env, info);
  End* end = arguments.ok() ? EndOf(env, arguments.value(0)) : nullptr;
  return end == nullptr ? nullptr : Number(env, end->look_again());
}

napi_value IsLayer3End(napi_env env, napi_callback_info info) {
  Arguments<1> arguments(env, info);
  End* end = arguments.ok() ? EndOf(env, arguments.value(0)) : nullptr;
  napi_value result = nullptr;
  if (end != nullptr) napi_get_boolean(env, end->layer3(), &result);
  return result;
}

napi_value ShutPacketEnd(napi_env env, napi_callback_info info) {
  Arguments<1> arguments(env, info);
  PacketSocketEnd* end = arguments.ok() ? PacketEndOf(env, arguments.value(0)) : nullptr;
  if (end != nullptr) end->Shut();
  return nullptr;
}

napi_value SetSocketProgram(napi_env env, napi_callback_info info) {
  Arguments<4> arguments(env, info);
  int fd = arguments.Integer(0);
  int level = arguments.Integer(1);
  int option = arguments.Integer(2);
  Bytes bytes = arguments.Octets(3);
  if (!arguments.ok()) return nullptr;
  // Those that take a program; any other would read memory at a place that the caller chose.
  const bool known =
      (level == SOL_SOCKET && option == SO_ATTACH_FILTER) || (level == SOL_PACKET && option == PACKET_FANOUT_DATA);
  const size_t count = bytes.length / sizeof(sock_filter);
  if (!known || count == 0 || count > UINT16_MAX || bytes.length % sizeof(sock_filter) != 0) {
    return Number(env, -EINVAL);
  }
  // A Uint8Array may begin anywhere.
  sock_filter* copy = static_cast<sock_filter*>(malloc(bytes.length));
  if (copy == nullptr) return Number(env, -ENOMEM);
  memcpy(copy, bytes.data, bytes.length);
  const sock_fprog program = {static_cast<unsigned short>(count), copy};
  const int result = setsockopt(fd, level, option, &program, sizeof(program)) == 0 ? 0 : -errno;
  free(copy);
  return Number(env, result);
}

}  // namespace netkit
