// The threads that do what must not hold up the event loop.
#ifndef NETKIT_WORK_THREAD_H_
#define NETKIT_WORK_THREAD_H_

#include <uv.h>

#include "job.h"

namespace netkit {

// A thread of an environment, started with it and in its namespace. Jobs run one after the other, in the order of
// Push(). There is one for requests and one for what may take long and nobody waits behind.
class WorkThread {
 public:
  // `name` is what the system shows. Returns 0 or a negated errno.
  int Start(Environment* environment, const char* name);
  void Push(Job* job);
  // Waits for the running job, ends the thread, and hands over what had not been started.
  void Stop(JobList& rest);
  // The file of the thread's network namespace, which is the one that the environment started in: the thread never
  // leaves it. Empty when there is no /proc.
  const char* namespace_path() const { return namespace_path_; }

 private:
  static void Main(void* self);
  void Loop();

  Environment* environment_ = nullptr;
  const char* name_ = "";
  uv_thread_t thread_ = {};
  uv_mutex_t mutex_ = {};
  uv_cond_t wake_ = {};
  uv_sem_t ready_ = {};
  JobList queue_;
  char namespace_path_[64] = {};
  bool running_ = false;
  bool stopping_ = false;
};

// Threads that enter another namespace. Each takes one job and ends with it, so none is ever reused elsewhere. At most
// kLimit exist at a time, the other jobs wait. All members are for the loop's thread.
class EnteringThreads {
 public:
  void Start(Environment* environment) { environment_ = environment; }
  void Push(Job* job);
  // Joins the thread of a job that is done, and lets the next one start.
  void Joined(Job* job);
  // Waits for the running jobs, which complete as usual, and hands over what had not been started.
  void Stop(JobList& rest);

 private:
  static constexpr int kLimit = 8;
  static void Main(void* job);
  void StartNext();

  Environment* environment_ = nullptr;
  JobList waiting_;
  Job* running_[kLimit] = {};
  int count_ = 0;
};

}  // namespace netkit

#endif  // NETKIT_WORK_THREAD_H_
