package io.crescendo.backend;

import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assertions.fail;

import io.crescendo.autograd.Program;
import io.crescendo.autograd.Value;
import io.crescendo.tensor.Parameter;
import io.crescendo.tensor.ParameterPack;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.function.Consumer;
import java.util.function.Predicate;
import java.util.function.Supplier;
import org.junit.jupiter.api.Test;
import org.opentest4j.AssertionFailedError;

/** The contract can fail: each of these mistakes is caught, whatever numbers were drawn. */
class BackendContractTest {
    /** Nested and private, so that test runners, which look for test methods in every class, leave it alone. */
    private static final class Tampered extends BackendContract {
        private final Supplier<Backend> backend;

        Tampered(Supplier<Backend> backend) {
            this.backend = backend;
        }

        @Override
        protected Backend open() {
            return backend.get();
        }

        @Override
        protected double tolerance() {
            return 0x1p-24;
        }
    }

    private static void caught(
            String mistake, Consumer<BackendContract> check, String complaint, Supplier<Backend> backend) {
        BackendContract contract = new Tampered(backend);
        contract.draw();
        try {
            check.accept(contract);
        } catch (AssertionFailedError error) {
            assertTrue(
                    String.valueOf(error.getMessage()).contains(complaint),
                    () -> mistake + " was blamed on something else: " + error.getMessage());
            return;
        }
        fail("the contract did not notice: " + mistake);
    }

    @Test
    void gradientsOffByATenthOfAPercent() {
        caught(
                "scaled gradients",
                BackendContract::everyOperationTrainsLikeTheReference,
                "gradient",
                () -> new TamperedBackend() {
                    @Override
                    void run(Executable executable, Feed feed, ModelMemory model) {
                        double[] gradients = values(model.gradients());
                        double[] before = gradients.clone();
                        executable.run(feed);
                        for (int i = 0; i < gradients.length; i++) {
                            gradients[i] = before[i] + 1.001 * (gradients[i] - before[i]);
                        }
                    }
                });
    }

    @Test
    void gradientsOverwrittenInsteadOfAdded() {
        caught(
                "overwriting gradients",
                BackendContract::microBatchesAddUpToTheBatch,
                "gradient",
                () -> new TamperedBackend() {
                    @Override
                    void run(Executable executable, Feed feed, ModelMemory model) {
                        model.gradients().clear();
                        executable.run(feed);
                    }
                });
    }

    @Test
    void statisticsOffByATenthOfAPercent() {
        caught(
                "scaled statistics",
                BackendContract::everyOperationTrainsLikeTheReference,
                "statistic",
                () -> new TamperedBackend() {
                    @Override
                    void run(Executable executable, Feed feed, ModelMemory model) {
                        executable.run(feed);
                        double[] statistics = values(model.statistics());
                        Arrays.setAll(statistics, i -> 1.001 * statistics[i]);
                    }
                });
    }

    @Test
    void dropoutThatForgetsItsClock() {
        caught(
                "the same mask for all samples",
                BackendContract::everyOperationTrainsLikeTheReference,
                "",
                () -> new TamperedBackend() {
                    @Override
                    void run(Executable executable, Feed feed, ModelMemory model) {
                        executable.run(new Feed(
                                feed.images(), feed.labels(), feed.samples(), feed.firstSample() + 1, feed.seed()));
                    }
                });
    }

    @Test
    void lastElementNotRead() {
        caught(
                "an element not read",
                BackendContract::everyOperationInfersLikeTheReference,
                "kept",
                () -> new TamperedBackend() {
                    @Override
                    void read(Executable executable, Value value, float[] destination) {
                        float[] all = destination.clone();
                        executable.read(value, all);
                        System.arraycopy(all, 0, destination, 0, all.length - 1);
                    }
                });
    }

    @Test
    void writesBetweenParameters() {
        caught(
                "a write between parameters",
                BackendContract::updatesFollowTheirRule,
                "gaps",
                () -> new TamperedBackend() {
                    private List<Parameter> parameters = new ArrayList<>();

                    @Override
                    public UpdateKernel prepareUpdate(
                            UpdateRule rule, ModelMemory model, ParameterPack pack, Predicate<Parameter> decayed) {
                        parameters = pack.parameters();
                        return super.prepareUpdate(rule, model, pack, decayed);
                    }

                    @Override
                    void apply(UpdateKernel kernel, UpdateScalars scalars, ModelMemory model) {
                        kernel.apply(scalars);
                        for (Parameter parameter : parameters) {
                            if (parameter.end() % ParameterPack.ALIGNMENT != 0) {
                                values(model.weights())[(int) parameter.end()] = 1e-30;
                            }
                        }
                    }
                });
    }

    @Test
    void gradientsNotCleared() {
        caught(
                "gradients that stay",
                BackendContract::updatesFollowTheirRule,
                "gradients-1 cleared",
                () -> new TamperedBackend() {
                    @Override
                    void apply(UpdateKernel kernel, UpdateScalars scalars, ModelMemory model) {
                        double[] before = values(model.gradients()).clone();
                        kernel.apply(scalars);
                        System.arraycopy(before, 0, values(model.gradients()), 0, before.length);
                    }
                });
    }

    @Test
    void everythingDecays() {
        caught("decay of biases", BackendContract::updatesFollowTheirRule, "weights-1", () -> new TamperedBackend() {
            @Override
            public UpdateKernel prepareUpdate(
                    UpdateRule rule, ModelMemory model, ParameterPack pack, Predicate<Parameter> decayed) {
                return super.prepareUpdate(rule, model, pack, p -> true);
            }
        });
    }

    @Test
    void nesterovWithoutLookingAhead() {
        caught(
                "momentum called Nesterov",
                BackendContract::updatesFollowTheirRule,
                "Nesterov",
                () -> new TamperedBackend() {
                    @Override
                    public UpdateKernel prepareUpdate(
                            UpdateRule rule, ModelMemory model, ParameterPack pack, Predicate<Parameter> decayed) {
                        return super.prepareUpdate(
                                rule instanceof UpdateRule.Nesterov ? new UpdateRule.Momentum() : rule,
                                model,
                                pack,
                                decayed);
                    }
                });
    }

    @Test
    void biasCorrectionForgotten() {
        caught(
                "Adam's bias correction off by one",
                BackendContract::updatesFollowTheirRule,
                "Adam",
                () -> new TamperedBackend() {
                    @Override
                    void apply(UpdateKernel kernel, UpdateScalars s, ModelMemory model) {
                        kernel.apply(new UpdateScalars(
                                s.learningRate(),
                                s.momentum(),
                                s.gradientScale(),
                                s.weightDecay(),
                                s.update() + 1,
                                s.clipNorm()));
                    }
                });
    }

    @Test
    void clippingForgotten() {
        caught("no clipping", BackendContract::updatesFollowTheirRule, "weights", () -> new TamperedBackend() {
            @Override
            void apply(UpdateKernel kernel, UpdateScalars s, ModelMemory model) {
                kernel.apply(new UpdateScalars(
                        s.learningRate(), s.momentum(), s.gradientScale(), s.weightDecay(), s.update()));
            }
        });
    }

    @Test
    void metricsNeverCleared() {
        caught("metrics that stay", BackendContract::metricsAddUpUntilCleared, "", () -> new TamperedBackend() {
            @Override
            public StepMetrics metrics() {
                StepMetrics metrics = super.metrics();
                return new StepMetrics() {
                    @Override
                    public Sums read() {
                        return metrics.read();
                    }

                    @Override
                    public void clear() {}

                    @Override
                    public Reading take() {
                        return Reading.of(read());
                    }
                };
            }
        });
    }

    @Test
    void weightsCachedBeyondAWrite() {
        caught("stale weights", BackendContract::trainingAndInferenceShareOneModel, "", () -> new TamperedBackend() {
            private double[] first = {};

            @Override
            void run(Executable executable, Feed feed, ModelMemory model) {
                double[] weights = values(model.weights());
                if (first.length != weights.length) {
                    first = weights.clone();
                }
                double[] now = weights.clone();
                System.arraycopy(first, 0, weights, 0, first.length);
                executable.run(feed);
                System.arraycopy(now, 0, weights, 0, now.length);
            }
        });
    }

    @Test
    void programsLostWhenTheWorkspaceGrows() {
        caught(
                "a program lost in growth",
                BackendContract::programsStayValidWhileTheWorkspaceGrowsAndShrinks,
                "",
                () -> new TamperedBackend() {
                    private long capacityAtLastLower;

                    @Override
                    public LoweredProgram lower(Program program) {
                        LoweredProgram lowered = super.lower(program);
                        capacityAtLastLower = workspace().capacityBytes();
                        return lowered;
                    }

                    @Override
                    void run(Executable executable, Feed feed, ModelMemory model) {
                        if (capacityAtLastLower == 0 || workspace().capacityBytes() == capacityAtLastLower) {
                            executable.run(feed);
                        }
                    }
                });
    }

    @Test
    void workspaceThatNeverShrinks() {
        caught(
                "memory never given back",
                BackendContract::programsStayValidWhileTheWorkspaceGrowsAndShrinks,
                "expected: <0>",
                () -> new TamperedBackend() {
                    @Override
                    public Workspace workspace() {
                        return new ForwardingWorkspace(super.workspace()) {
                            @Override
                            public void shrink(long bytes) {}
                        };
                    }
                });
    }

    @Test
    void readingsThatComeLateAreFine() {
        for (int delay : new int[] {0, 1, 5}) {
            BackendContract contract = new Tampered(() -> new DelayedBackend(delay));
            contract.draw();
            contract.metricsAddUpUntilCleared();
            contract.aReadingKeepsWhatRanBeforeItWasTaken();
            contract.updatesAreSkippedOnceATakenLossIsNotFinite();
            contract.updatesAreSkippedOnceAGradientIsNotFinite();
        }
    }

    @Test
    void updatesAppliedAfterALossThatIsNotFinite() {
        caught(
                "an update after NaN",
                BackendContract::updatesAreSkippedOnceATakenLossIsNotFinite,
                "seed",
                () -> new DelayedBackend(3) {
                    @Override
                    void apply(UpdateKernel kernel, UpdateScalars scalars, ModelMemory model) {
                        double[] gradients = values(model.gradients());
                        Arrays.setAll(gradients, i -> Double.isFinite(gradients[i]) ? gradients[i] : 0);
                        kernel.apply(scalars);
                    }
                });
    }

    @Test
    void partsOfAnUpdateAppliedWithANonFiniteGradient() {
        caught(
                "an update of the other weights",
                BackendContract::updatesAreSkippedOnceAGradientIsNotFinite,
                "weights",
                () -> new TamperedBackend() {
                    @Override
                    void apply(UpdateKernel kernel, UpdateScalars scalars, ModelMemory model) {
                        boolean finite =
                                Arrays.stream(values(model.gradients())).allMatch(Double::isFinite);
                        kernel.apply(scalars);
                        values(model.weights())[0] *= finite ? 1 : 0.9;
                    }
                });
    }

    @Test
    void nonFiniteGradientsForgotten() {
        caught(
                "a reading that hides a NaN",
                BackendContract::updatesAreSkippedOnceAGradientIsNotFinite,
                "says",
                () -> new TamperedBackend() {
                    @Override
                    void apply(UpdateKernel kernel, UpdateScalars scalars, ModelMemory model) {
                        if (Arrays.stream(values(model.gradients())).allMatch(Double::isFinite)) {
                            kernel.apply(scalars);
                        }
                        Arrays.fill(values(model.gradients()), 0);
                    }
                });
    }

    @Test
    void readingsThatGoOnCounting() {
        caught(
                "a living reading",
                BackendContract::aReadingKeepsWhatRanBeforeItWasTaken,
                "",
                () -> new TamperedBackend() {
                    @Override
                    public StepMetrics metrics() {
                        StepMetrics metrics = super.metrics();
                        return new StepMetrics() {
                            @Override
                            public Sums read() {
                                return metrics.read();
                            }

                            @Override
                            public void clear() {
                                metrics.clear();
                            }

                            @Override
                            public Reading take() {
                                return new Reading() {
                                    @Override
                                    public boolean isDone() {
                                        return true;
                                    }

                                    @Override
                                    public Sums sums() {
                                        return metrics.read();
                                    }
                                };
                            }
                        };
                    }
                });
    }
}
