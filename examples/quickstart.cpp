// The README's program: a small classifier, trained for one epoch.
#include <mica/core/ops/loss.h>
#include <mica/data/mnist.h>
#include <mica/layers/layers.h>
#include <mica/optim/sgd.h>

#include <iostream>

int main(int argc, char** argv) try {
  using namespace mica;
  const Digits digits = load_mnist(argc > 1 ? argv[1] : "");
  std::cout << digits.description << "\n";

  Sequential net;                         // 1×28×28
  net.add("conv1", Conv2d(1, 8, 5));      // 8×24×24
  net.add("norm1", BatchNorm2d(8));
  net.add("relu1", ReLU());
  net.add("pool", MaxPool2d(4));          // 8×6×6
  net.add("flatten", Flatten());          // 288
  net.add("fc", Linear(288, 10));         // 10
  net.add("log_softmax", LogSoftmax());

  Sgd sgd(net.parameters(), {.lr = 0.05, .momentum = 0.9});
  BatchLoader loader(digits.train, {.batch_size = 128});
  for (Batch batch; loader.next(batch);) {
    sgd.zero_grad();
    nll_loss(net(batch.images), batch.labels).backward();
    sgd.step();
  }

  net.eval();
  std::int64_t correct = 0;
  BatchLoader test(digits.test, {.batch_size = 1000, .shuffle = false});
  for (Batch batch; test.next(batch);) correct += count_correct(net(batch.images), batch.labels).item<std::int64_t>();
  std::cout << "test accuracy: " << 100.0 * static_cast<double>(correct) / static_cast<double>(digits.test.size()) << " %\n";
} catch (const std::exception& error) {
  std::cerr << error.what() << "\n";
  return 1;
}
