// The forwarding table of a switch: which port an address of a VLAN is behind.
#ifndef NETKIT_SWITCH_TABLE_H_
#define NETKIT_SWITCH_TABLE_H_

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/random.h>

namespace netkit {

// A hash table with a fixed limit. For one thread.
class SwitchTable {
 public:
  static constexpr uint16_t kNoPort = 0xffff;

  struct Entry {
    uint64_t key;   // VLAN << 48 | address; 0 for a free place, which is no address that a frame may come from
    uint64_t seen;  // milliseconds of the monotonic clock
    uint16_t port;
    bool fixed;  // does not age, and is not learnt elsewhere
  };

  SwitchTable() = default;
  SwitchTable(const SwitchTable&) = delete;
  SwitchTable& operator=(const SwitchTable&) = delete;
  ~SwitchTable() { free(entries_); }

  // Room for `limit` addresses, at half load at most. False when there is no memory.
  bool Prepare(uint32_t limit) {
    size_t size = 16;
    shift_ = 60;
    for (; size < static_cast<size_t>(limit) * 2; size *= 2) shift_--;
    // Nobody is to know which addresses share a place: finding them would take ever longer. Any odd number does.
    uint64_t chance = 0;
    if (getrandom(&chance, sizeof(chance), GRND_NONBLOCK) == sizeof(chance)) factor_ = chance | 1;
    entries_ = static_cast<Entry*>(calloc(size, sizeof(Entry)));
    mask_ = size - 1;
    limit_ = limit;
    return entries_ != nullptr;
  }

  static uint64_t Key(uint16_t vlan, uint64_t address) { return static_cast<uint64_t>(vlan) << 48 | address; }

  Entry* Find(uint64_t key) {
    for (size_t at = Place(key); entries_[at].key != 0; at = (at + 1) & mask_) {
      if (entries_[at].key == key) return &entries_[at];
    }
    return nullptr;
  }

  // Null when the table is full.
  Entry* Add(uint64_t key, uint16_t port, uint64_t now, bool fixed) {
    if (count_ >= limit_) return nullptr;
    size_t at = Place(key);
    while (entries_[at].key != 0) at = (at + 1) & mask_;
    entries_[at] = {key, now, port, fixed};
    count_++;
    return &entries_[at];
  }

  // Moves what follows into the gap, so that nothing behind it gets lost.
  void Remove(Entry* entry) {
    size_t gap = static_cast<size_t>(entry - entries_);
    entries_[gap].key = 0;
    count_--;
    for (size_t at = (gap + 1) & mask_; entries_[at].key != 0; at = (at + 1) & mask_) {
      const size_t wanted = Place(entries_[at].key);
      if (((at - wanted) & mask_) < ((at - gap) & mask_)) continue;
      entries_[gap] = entries_[at];
      entries_[at].key = 0;
      gap = at;
    }
  }

  // Calls `visit` for each entry, which says whether it is to go.
  template <typename Visit>
  void Sweep(Visit visit) {
    // What Remove() moves into a place comes from behind it, or from the beginning, where it was seen already or will
    // stay.
    for (size_t at = 0; at <= mask_;) {
      if (entries_[at].key != 0 && visit(entries_[at])) {
        Remove(&entries_[at]);
      } else {
        at++;
      }
    }
  }

  uint32_t count() const { return count_; }

 private:
  size_t Place(uint64_t key) const {
    // Multiplication mixes towards the high bits. Twice, as those who choose addresses in even steps get even steps.
    key *= factor_;
    return static_cast<size_t>(((key ^ key >> 32) * 0x9e3779b97f4a7c15u) >> shift_);
  }

  Entry* entries_ = nullptr;
  size_t mask_ = 0;
  uint64_t factor_ = 0x9e3779b97f4a7c15u;
  uint32_t shift_ = 0;  // what it leaves of 64 bits is a place
  uint32_t limit_ = 0;
  uint32_t count_ = 0;
};

}  // namespace netkit

#endif  // NETKIT_SWITCH_TABLE_H_
