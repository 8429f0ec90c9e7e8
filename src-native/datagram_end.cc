#include "datagram_end.h"

#include <netinet/udp.h>
#include <stdlib.h>

#include "arguments.h"
#include "environment.h"
#include "functions.h"

namespace netkit {

namespace {

// Datagrams of one recvmmsg(2).
constexpr uint32_t kMessages = 64;
// The longest frame that is taken: room for it and for aligning it is kFrameRoom.
constexpr size_t kLongest = kFrameRoom - kFrameAlignment;
// A frame up to this length is moved to where the one before ended: more of them fit the slab. Moving longer ones would
// cost more than that is worth.
constexpr size_t kMoved = 16384;
// So many times one call reads away errors of the network (an ICMP message …), and datagrams without a byte.
constexpr int kErrors = 16;
// A queue longer than this gives its memory back when it is empty.
constexpr size_t kKept = 1024 * 1024;

size_t Aligned(size_t position) { return (position + kFrameAlignment - 1) & ~(kFrameAlignment - 1); }

struct Queued {
  uint32_t length;
  Address source;
};

}  // namespace

FrameQueue::~FrameQueue() { free(bytes_); }

bool FrameQueue::Push(const uint8_t* frame, uint32_t length, const Address& source) {
  const size_t wanted = written_ + sizeof(Queued) + length;
  if (wanted > size_) {
    const size_t size = wanted > 2 * size_ ? wanted : 2 * size_;
    uint8_t* bytes = static_cast<uint8_t*>(realloc(bytes_, size));
    if (bytes == nullptr) return false;
    bytes_ = bytes;
    size_ = size;
  }
  const Queued queued = {length, source};
  memcpy(bytes_ + written_, &queued, sizeof(queued));
  memcpy(bytes_ + written_ + sizeof(queued), frame, length);
  written_ = wanted;
  return true;
}

const uint8_t* FrameQueue::Front(uint32_t* length, Address* source) const {
  Queued queued;
  memcpy(&queued, bytes_ + read_, sizeof(queued));
  *length = queued.length;
  *source = queued.source;
  return bytes_ + read_ + sizeof(queued);
}

void FrameQueue::Pop() {
  Queued queued;
  memcpy(&queued, bytes_ + read_, sizeof(queued));
  read_ += sizeof(queued) + queued.length;
  if (read_ < written_) return;
  read_ = written_ = 0;
  if (size_ <= kKept) return;
  free(bytes_);
  bytes_ = nullptr;
  size_ = 0;
}

const char DatagramEnd::kKind = 0;

struct DatagramEnd::Incoming {
  uint8_t* slab;
  size_t size;
  size_t position;
  Span* spans;
  uint32_t max;
  FrameDetail* details;
  Tally& tally;
  uint64_t time = 0;
  uint32_t count = 0;

  bool HasRoom() const { return count < max && position <= size && size - position >= kFrameRoom; }

  void Add(size_t offset, size_t length, size_t whole) {
    spans[count] = {static_cast<uint32_t>(offset), static_cast<uint32_t>(length)};
    if (details != nullptr) details[count] = {time, static_cast<uint32_t>(whole), 1};
    tally.Read(length);
    count++;
  }
};

DatagramEnd::~DatagramEnd() { free(sources_); }

int DatagramEnd::Read(uint8_t* slab, size_t size, size_t position, Span* spans, uint32_t max, FrameDetail* details) {
  Tally tally(counters_);
  Incoming incoming = {slab, size, Aligned(position), spans, max, details, tally};
  if (details != nullptr) incoming.time = WallClock();
  const bool named = !Is(kDatagramConnected);
  if (!rest_.empty()) {
    Locked locked(mutex_);
    TakeRest(incoming);
  }

  int error = -ENOBUFS;
  for (int errors = 0; incoming.HasRoom() && rest_.empty();) {
    // Each message gets the room of the longest frame, so none is ever cut or lost for want of it.
    size_t wanted = (incoming.size - incoming.position) / kFrameRoom;
    const uint32_t frames = (incoming.max - incoming.count + expected_ - 1) / expected_;
    if (wanted > frames) wanted = frames;
    if (wanted > kMessages) wanted = kMessages;
    mmsghdr messages[kMessages];
    iovec parts[kMessages];
    Address sources[kMessages];
    alignas(cmsghdr) uint8_t controls[kMessages][CMSG_SPACE(sizeof(int))];
    for (size_t i = 0; i < wanted; i++) {
      parts[i] = {incoming.slab + incoming.position + i * kFrameRoom, kLongest};
      messages[i] = {};
      msghdr& header = messages[i].msg_hdr;
      header.msg_iov = &parts[i];
      header.msg_iovlen = 1;
      if (named) {
        header.msg_name = &sources[i].storage;
        header.msg_namelen = sizeof(sources[i].storage);
      }
      if (Is(kDatagramGro)) {
        header.msg_control = controls[i];
        header.msg_controllen = sizeof(controls[i]);
      }
    }
    const int received = recvmmsg(fd_, messages, static_cast<unsigned>(wanted), MSG_DONTWAIT | MSG_TRUNC, nullptr);
    if (received <= 0) {
      if (received < 0 && errno == EINTR) continue;
      error = received < 0 ? -errno : -EAGAIN;
      if (error == -EAGAIN || error == -EBADF || error == -ENOTSOCK) break;
      // What became of an earlier frame: the end itself goes on.
      tally.Refused(-error);
      error = -EAGAIN;
      if (++errors == kErrors) break;
      continue;
    }
    uint32_t most = 1;
    const uint32_t before = incoming.count;
    mutex_.Lock();
    for (int i = 0; i < received; i++) {
      const msghdr& header = messages[i].msg_hdr;
      size_t segment = 0;
      for (cmsghdr* each = CMSG_FIRSTHDR(&header); each != nullptr;
           each = CMSG_NXTHDR(const_cast<msghdr*>(&header), each)) {
        int value = 0;
        if (each->cmsg_level != SOL_UDP || each->cmsg_type != UDP_GRO) continue;
        memcpy(&value, CMSG_DATA(each), sizeof(value));
        if (value > 0) segment = static_cast<size_t>(value);
      }
      sources[i].length = named ? header.msg_namelen : 0;
      uint8_t* data = static_cast<uint8_t*>(parts[i].iov_base);
      const uint32_t made = Place(incoming, data, messages[i].msg_len, segment, sources[i]);
      if (made > most) most = made;
    }
    if (Is(kDatagramLearn) && sources[received - 1].length > sizeof(sa_family_t)) remote_ = sources[received - 1];
    mutex_.Unlock();
    // Up at once, down slowly.
    expected_ = most > expected_ ? most : expected_ - (expected_ - most + 7) / 8;
    const bool fruitless = incoming.count == before;
    if (static_cast<size_t>(received) < wanted || (fruitless && ++errors == kErrors)) {
      error = -EAGAIN;
      break;
    }
  }
  {
    Locked locked(mutex_);
    sources_count_ = incoming.count < sources_size_ ? incoming.count : sources_size_;
  }
  return incoming.count > 0 ? static_cast<int>(incoming.count) : error;
}

void DatagramEnd::TakeRest(Incoming& incoming) {
  while (!rest_.empty() && incoming.HasRoom()) {
    uint32_t length = 0;
    Address source;
    const uint8_t* frame = rest_.Front(&length, &source);
    memcpy(incoming.slab + incoming.position, frame, length);
    Remember(incoming.count, source);
    incoming.Add(incoming.position, length, length);
    incoming.position = Aligned(incoming.position + length);
    rest_.Pop();
  }
}

// Makes frames of one datagram of the kernel's, of `length` bytes (more than there are when it was cut). Returns how
// many frames that were.
uint32_t DatagramEnd::Place(Incoming& incoming, uint8_t* data, size_t length, size_t segment, const Address& source) {
  // Without a byte it carries no frame; some protocols keep a path open with such.
  if (length == 0) return 0;
  const size_t there = length < kLongest ? length : kLongest;
  if (there < length) incoming.tally.Truncated();
  size_t place = static_cast<size_t>(data - incoming.slab);
  if (place != incoming.position && there <= kMoved && incoming.count < incoming.max) {
    memmove(incoming.slab + incoming.position, data, there);
    place = incoming.position;
  }
  if (segment == 0 || segment > there) segment = there;
  uint32_t frames = 0;
  for (size_t at = 0; at < there; at += segment, frames++) {
    const size_t bytes = there - at < segment ? there - at : segment;
    if (incoming.count < incoming.max) {
      Remember(incoming.count, source);
      incoming.Add(place + at, bytes, there < length ? length : bytes);
      incoming.position = Aligned(place + at + bytes);
    } else if (!rest_.Push(incoming.slab + place + at, static_cast<uint32_t>(bytes), source)) {
      incoming.tally.Refused(ENOMEM);
    }
  }
  return frames;
}

void DatagramEnd::Remember(uint32_t index, const Address& source) {
  if (Is(kDatagramConnected) || Is(kDatagramUnix)) return;
  if (index >= sources_size_) {
    const uint32_t size = index < 128 ? 256 : 2 * index;
    Kept* sources = static_cast<Kept*>(realloc(sources_, size * sizeof(Kept)));
    if (sources == nullptr) return;
    sources_ = sources;
    sources_size_ = size;
  }
  Kept& kept = sources_[index];
  kept.length = static_cast<uint8_t>(source.length <= sizeof(kept.bytes) ? source.length : 0);
  memcpy(kept.bytes, &source.storage, kept.length);
}

Address DatagramEnd::Source(uint32_t index) {
  Locked locked(mutex_);
  Address source;
  if (index >= sources_count_) return source;
  source.length = sources_[index].length;
  memcpy(&source.storage, sources_[index].bytes, source.length);
  return source;
}

void DatagramEnd::SetRemote(const Address& remote) {
  Locked locked(mutex_);
  remote_ = remote;
}

Address DatagramEnd::remote() {
  Locked locked(mutex_);
  return remote_;
}

namespace {

DatagramEnd* DatagramEndOf(napi_env env, napi_value object) {
  End* end = EndOf(env, object);
  if (end == nullptr) return nullptr;
  if (end->kind() == &DatagramEnd::kKind) return static_cast<DatagramEnd*>(end);
  napi_throw_type_error(env, nullptr, "not a datagram end");
  return nullptr;
}

// Fills `bytes` in, and returns the address's length.
napi_value Answer(napi_env env, const Address& address, Bytes bytes) {
  if (bytes.length < address.length) return Number(env, -EINVAL);
  if (address.length > 0) memcpy(bytes.data, &address.storage, address.length);
  return Number(env, address.length);
}

}  // namespace

napi_value CreateDatagramEnd(napi_env env, napi_callback_info info) {
  Arguments<2> arguments(env, info);
  int fd = arguments.Integer(0);
  uint32_t flags = arguments.Unsigned(1);
  if (!arguments.ok()) return nullptr;
  return WrapEnd(arguments.environment(), new DatagramEnd(fd, flags));
}

napi_value SetDatagramRemote(napi_env env, napi_callback_info info) {
  Arguments<2> arguments(env, info);
  Bytes bytes = arguments.Octets(1);
  if (!arguments.ok()) return nullptr;
  DatagramEnd* end = DatagramEndOf(env, arguments.value(0));
  if (end == nullptr) return nullptr;
  Address remote;
  if (bytes.length > sizeof(remote.storage)) return Number(env, -EINVAL);
  if (bytes.length > 0) memcpy(&remote.storage, bytes.data, bytes.length);
  remote.length = static_cast<socklen_t>(bytes.length);
  end->SetRemote(remote);
  return Number(env, 0);
}

napi_value DatagramRemote(napi_env env, napi_callback_info info) {
  Arguments<2> arguments(env, info);
  Bytes bytes = arguments.Octets(1);
  if (!arguments.ok()) return nullptr;
  DatagramEnd* end = DatagramEndOf(env, arguments.value(0));
  return end == nullptr ? nullptr : Answer(env, end->remote(), bytes);
}

napi_value DatagramSource(napi_env env, napi_callback_info info) {
  Arguments<3> arguments(env, info);
  uint32_t index = arguments.Unsigned(1);
  Bytes bytes = arguments.Octets(2);
  if (!arguments.ok()) return nullptr;
  DatagramEnd* end = DatagramEndOf(env, arguments.value(0));
  return end == nullptr ? nullptr : Answer(env, end->Source(index), bytes);
}

napi_value RefreshDatagram(napi_env env, napi_callback_info info) {
  Arguments<1> arguments(env, info);
  if (!arguments.ok()) return nullptr;
  DatagramEnd* end = DatagramEndOf(env, arguments.value(0));
  if (end != nullptr) end->Refresh();
  return nullptr;
}

}  // namespace netkit
