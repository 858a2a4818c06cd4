// main() of a fuzz target in builds without libFuzzer: replays the corpus, then mutates it at random for a bounded time, so that
// every compiler and sanitizer can run the same LLVMFuzzerTestOneInput. The seed is printed; --seed repeats a run.
//   TARGET [--seconds N] [--seed N] FILE_OR_FOLDER...
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

constexpr unsigned kSecondsPerInput = 20;  // sanitizer builds on a loaded machine; a hang is far beyond it
constexpr size_t kMaxInput = 4096;         // libFuzzer's default, and small inputs run fast
const std::string* current = nullptr;

// Says which input was running when the process dies, so that it can become a corpus file.
void on_signal(int number) {
  static const char text[] = "\nfuzz: failing input is in fuzz-crash\n";
  if (current != nullptr) {
    if (FILE* out = fopen("fuzz-crash", "wb")) {
      fwrite(current->data(), 1, current->size(), out);
      fclose(out);
    }
    (void)!write(2, text, sizeof(text) - 1);
  }
  signal(number, SIG_DFL);
  raise(number);
}

void run(const std::string& input) {
  current = &input;
  alarm(kSecondsPerInput);
  LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(input.data()), input.size());
  alarm(0);
}

std::string mutated(const std::vector<std::string>& corpus, std::mt19937_64& random) {
  auto below = [&](size_t n) { return n == 0 ? 0 : random() % n; };
  std::string out = corpus[below(corpus.size())];
  for (size_t n = 1 + below(6); n > 0; --n) {
    const size_t at = below(out.size() + 1);
    switch (below(6)) {
      case 0:
        if (at < out.size()) out[at] = static_cast<char>(random());
        break;
      case 1:
        if (at < out.size()) out[at] = static_cast<char>(out[at] ^ (1 << below(8)));
        break;
      case 2: out.insert(at, 1, static_cast<char>(random())); break;
      case 3: out.erase(at, 1 + below(16)); break;
      case 4: {  // a piece of another input
        const std::string& other = corpus[below(corpus.size())];
        const size_t from = below(other.size());
        out.insert(at, other.substr(from, below(64)));
        break;
      }
      case 5: out.insert(at, out.substr(below(out.size() + 1), below(32))); break;
    }
  }
  if (out.size() > kMaxInput) out.resize(kMaxInput);
  return out;
}

}  // namespace

int main(int argc, char** argv) {
  double seconds = 0;
  uint64_t seed = std::random_device{}();
  std::vector<std::string> corpus;
  auto load = [&](const std::filesystem::path& path) {
    std::ifstream in(path, std::ios::binary);
    corpus.emplace_back(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>());
  };
  for (int i = 1; i < argc; ++i) {
    if (strcmp(argv[i], "--seconds") == 0 && i + 1 < argc) {
      seconds = atof(argv[++i]);
    } else if (strcmp(argv[i], "--seed") == 0 && i + 1 < argc) {
      seed = strtoull(argv[++i], nullptr, 10);
    } else if (std::filesystem::is_directory(argv[i])) {
      for (const auto& entry : std::filesystem::recursive_directory_iterator(argv[i])) {
        if (entry.is_regular_file()) load(entry.path());
      }
    } else if (std::filesystem::is_regular_file(argv[i])) {
      load(argv[i]);
    } else {
      fprintf(stderr, "fuzz: no file or folder %s\n", argv[i]);
      return 2;
    }
  }
  for (int number : {SIGSEGV, SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGALRM}) signal(number, on_signal);
  for (const std::string& input : corpus) run(input);
  const size_t replayed = corpus.size();
  if (corpus.empty()) corpus.emplace_back();
  std::mt19937_64 random(seed);
  size_t runs = 0;
  const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
  while (seconds > 0 && std::chrono::steady_clock::now() < end) {
    const std::string input = mutated(corpus, random);
    run(input);
    ++runs;
  }
  printf("replayed %zu inputs, ran %zu mutations in %.0f s (seed %llu)\n", replayed, runs, seconds, static_cast<unsigned long long>(seed));
  return 0;
}
