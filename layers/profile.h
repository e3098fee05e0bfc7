// Where the time of training steps goes, by layer:
//   Profile profile(network, {128, 1, 28, 28});  // the shape of every batch
//   for (int i = 0; i < 60; ++i) {
//     if (i >= 10) profile.begin_step();         // the first ones warm up
//     loader.next(batch);
//     optimizer.zero_grad();
//     nll_loss(network(batch.images), batch.labels).backward();
//     optimizer.step();
//     if (i >= 10) profile.end_step();
//   }
//   fmt::print("{}", profile.table());
//   write_file("trace.json", {profile.chrome_trace()});
//
// It hears of the scopes of its thread (core/scope.h) and changes nothing of what is run: layers that Sequential fuses are one row,
// "norm1+relu1", and so are those of a link of a chain of convolutions, "conv2+norm2+relu2". Times are the device's, on CUDA between events in the stream, and nothing waits for it until they are asked for; where
// the device waits for the host, that counts to the layer at hand. Every scope costs two moments of a Timeline, and all of them are
// kept: measure tens of steps, not epochs.
//
// FLOP are those of convolutions and matrix products, twice the multiplications of the direct formula; backward does them once for
// each of the two gradients that is needed, and the first layer's input needs none. Bytes are what a layer by itself must move: forward
// r·x + y + w, backward r·(x + y) + x + 2·w for x, y and w the bytes of input, output and parameters; r is 2 for batch norm, whose
// statistics come first, else 1; backward's own x is the input's gradient, left out where there is none. A view moves nothing.
// An implementation may do with less (Winograd's transforms, a cache, what backward need not read), and be above 100 % of a ceiling then.
//
// Not measured: steps captured by a CudaGraph, other threads, and single kernels within a layer, which Nsight shows with the same names.
#pragma once

#include <mica/core/timeline.h>
#include <mica/layers/module.h>

#include <exception>
#include <optional>

namespace mica {

class Profile final : ScopeObserver {
 public:
  // Runs the network once in evaluation mode, on zeros, to see the shapes of its layers. Its parameters' device is the one measured.
  Profile(Module& network, const Shape& input);
  ~Profile() override;

  void begin_step();  // forgets one that was begun and not ended
  void end_step();    // throws what went wrong while it was noted
  std::size_t steps() const { return steps_.size(); }  // that were ended

  struct Part {
    double ms = 0;                // median of the steps
    double flops = 0, bytes = 0;  // of each step, by formula; 0 where there is none
    bool tf32 = false;            // may its products be rounded to TF32 (core/settings.h)?
  };
  struct Row {
    std::string name;
    Part forward, backward;  // all 0 for what is neither
    double ms = 0;           // of both, or of what is neither
  };
  // Layers in the order in which they run, other scopes ("Sgd (optimizer)"), and last "other", what is left of the step. What a module
  // with children does by itself is a row of times if it records ops, else it is in "other". This and all below throw Error before the
  // first end_step().
  std::vector<Row> rows() const;
  double step_ms() const;  // median; medians of parts do not add up to it exactly

  struct Ceilings {  // of the device, a second; 0: not known
    double flops = 0, bandwidth = 0;
    double tf32_flops = 0;  // 0: no tensor cores
  };
  // The rows with GFLOP/s and GB/s and, where both ceilings are known, the percentage of the one that binds: the least time by
  // FLOP or by bytes, whichever is longer, of the time taken. Products that may be rounded to TF32 are held to the ceiling of tensor
  // cores, whether or not a kernel takes it.
  std::string table(const Ceilings& ceilings) const;
  std::string table() const { return table(Ceilings{}); }

  // Every scope of every step as JSON of the Trace Event Format, for chrome://tracing and https://ui.perfetto.dev.
  std::string chrome_trace() const;

 private:
  struct Layer;   // one call of a module, as the network's run in evaluation mode shows it
  struct Layers;  // the observer of that run
  struct Interval {
    std::string name;
    Pass pass;
    std::size_t begin, end;             // moments
    std::optional<std::size_t> around;  // the interval that it is in
  };
  struct Step {
    std::size_t begin, end;  // moments
    std::vector<Interval> intervals;
  };
  void enter(const std::string& name, Pass pass) noexcept override;
  void leave(const std::string& name, Pass pass) noexcept override;
  void require_steps() const;
  std::vector<Layer> layers_as_run() const;  // those that run fused are one

  Device device_;
  std::vector<Layer> layers_;
  Timeline timeline_;
  std::vector<Step> steps_;
  std::optional<Step> step_;       // under way
  std::vector<std::size_t> open_;  // its intervals that have not ended, from the outermost
  std::exception_ptr failure_;     // of enter or leave, which may not throw
};

}  // namespace mica
