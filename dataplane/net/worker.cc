// Worker thread (worker.h).
#include "dataplane/net/worker.h"

#include <pthread.h>

#include <condition_variable>
#include <mutex>

namespace fairlead::net {

Worker::Worker(unsigned index, std::string name) : index_(index), loop_(std::move(name)) {}

Worker::~Worker() { stop(); }

void Worker::start() {
  thread_ = std::thread([this] {
    pthread_setname_np(pthread_self(), loop_.name().substr(0, 15).c_str());
    loop_.run();
  });
}

void Worker::stop() {
  if (!thread_.joinable()) return;
  loop_.stop();
  thread_.join();
}

void Worker::run_and_wait(std::function<void()> job) {
  std::mutex mutex;
  std::condition_variable changed;
  bool done = false;
  loop_.post([&] {
    job();
    std::lock_guard lock(mutex);
    done = true;
    changed.notify_one();
  });
  std::unique_lock lock(mutex);
  changed.wait(lock, [&] { return done; });
}

}  // namespace fairlead::net
