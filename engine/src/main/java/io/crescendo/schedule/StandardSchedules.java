package io.crescendo.schedule;

import java.util.ArrayList;
import java.util.List;

/** The schedules behind the factories of {@link Schedule}. */
final class StandardSchedules {
    private StandardSchedules() {}

    record Constant(double value) implements Schedule {
        Constant {
            requireFinite("constant", "value", value);
        }

        @Override
        public double at(Progress progress) {
            return value;
        }

        @Override
        public double heldUntil(Progress progress) {
            return Double.POSITIVE_INFINITY;
        }
    }

    record Staircase(double initial, double factor, List<Double> boundaries) implements Schedule {
        Staircase {
            requireFinite("staircase", "initial", initial);
            requirePositive("staircase", "factor", factor);
            boundaries = List.copyOf(boundaries);
            double previous = 0;
            for (double epoch : boundaries) {
                requireFinite("staircase", "epoch", epoch);
                if (epoch <= previous) {
                    throw new IllegalArgumentException("staircase: the epochs " + boundaries
                            + " must be positive and strictly increasing; " + epoch + " follows " + previous);
                }
                previous = epoch;
            }
        }

        static Staircase of(double initial, double factor, double... epochs) {
            List<Double> boundaries = new ArrayList<>(epochs.length);
            for (double epoch : epochs) {
                boundaries.add(epoch);
            }
            return new Staircase(initial, factor, boundaries);
        }

        @Override
        public double at(Progress progress) {
            return initial * Math.pow(factor, reached(progress));
        }

        @Override
        public double heldUntil(Progress progress) {
            int reached = reached(progress);
            return reached < boundaries.size() ? boundaries.get(reached) : Double.POSITIVE_INFINITY;
        }

        private int reached(Progress progress) {
            double now = progress.epochs();
            int count = 0;
            while (count < boundaries.size() && boundaries.get(count) <= now) {
                count++;
            }
            return count;
        }
    }

    record Exponential(double initial, double factorPerEpoch) implements Schedule {
        Exponential {
            requireFinite("exponential", "initial", initial);
            requirePositive("exponential", "factorPerEpoch", factorPerEpoch);
        }

        @Override
        public double at(Progress progress) {
            return initial * Math.pow(factorPerEpoch, progress.epochs());
        }
    }

    record Polynomial(double initial, double last, double power, double epochs) implements Schedule {
        Polynomial {
            requireFinite("polynomial", "initial", initial);
            requireFinite("polynomial", "last", last);
            requirePositive("polynomial", "power", power);
            requirePositive("polynomial", "epochs", epochs);
        }

        @Override
        public double at(Progress progress) {
            double now = progress.epochs();
            return now >= epochs ? last : last + (initial - last) * Math.pow(1 - now / epochs, power);
        }

        @Override
        public List<Double> boundaries() {
            return List.of(epochs);
        }

        @Override
        public double heldUntil(Progress progress) {
            return heldAfter(epochs, progress);
        }
    }

    record Cosine(double initial, double last, double epochs) implements Schedule {
        Cosine {
            requireFinite("cosine", "initial", initial);
            requireFinite("cosine", "last", last);
            requirePositive("cosine", "epochs", epochs);
        }

        @Override
        public double at(Progress progress) {
            double now = progress.epochs();
            return now >= epochs ? last : last + (initial - last) * (1 + Math.cos(Math.PI * now / epochs)) / 2;
        }

        @Override
        public List<Double> boundaries() {
            return List.of(epochs);
        }

        @Override
        public double heldUntil(Progress progress) {
            return heldAfter(epochs, progress);
        }
    }

    record WarmUp(double initial, double epochs, Schedule target) implements Schedule {
        WarmUp {
            requireFinite("warmUp", "initial", initial);
            requirePositive("warmUp", "epochs", epochs);
        }

        @Override
        public double at(Progress progress) {
            double now = progress.epochs();
            if (now >= epochs) {
                return target.at(progress);
            }
            double top = target.at(Progress.atEpoch(epochs, progress.samplesPerEpoch()));
            return initial + (top - initial) * (now / epochs);
        }

        @Override
        public List<Double> boundaries() {
            List<Double> all = new ArrayList<>();
            all.add(epochs);
            target.boundaries().stream().filter(epoch -> epoch > epochs).forEach(all::add);
            return all;
        }

        @Override
        public double heldUntil(Progress progress) {
            return progress.epochs() < epochs ? progress.epochs() : target.heldUntil(progress);
        }
    }

    record Sequence(Schedule first, double epoch, Schedule next) implements Schedule {
        Sequence {
            requirePositive("then", "epoch", epoch);
        }

        @Override
        public double at(Progress progress) {
            return progress.epochs() < epoch ? first.at(progress) : next.at(shifted(progress));
        }

        @Override
        public List<Double> boundaries() {
            List<Double> all = new ArrayList<>();
            first.boundaries().stream().filter(b -> b < epoch).forEach(all::add);
            all.add(epoch);
            next.boundaries().forEach(b -> all.add(epoch + b));
            return all;
        }

        @Override
        public double heldUntil(Progress progress) {
            if (progress.epochs() < epoch) {
                return Math.min(epoch, first.heldUntil(progress));
            }
            Progress shifted = shifted(progress);
            double held = next.heldUntil(shifted);
            // Adding the shift back rounds: upwards, a moving schedule would look held; downwards, held until the past.
            return held <= shifted.epochs() ? progress.epochs() : Math.max(progress.epochs(), epoch + held);
        }

        private Progress shifted(Progress progress) {
            long switchedAt =
                    Progress.atEpoch(epoch, progress.samplesPerEpoch()).samples();
            return new Progress(progress.samples() - switchedAt, progress.updates(), progress.samplesPerEpoch());
        }
    }

    record Scaled(Schedule schedule, double factor) implements Schedule {
        Scaled {
            requirePositive("times", "factor", factor);
        }

        @Override
        public double at(Progress progress) {
            return factor * schedule.at(progress);
        }

        @Override
        public List<Double> boundaries() {
            return schedule.boundaries();
        }

        @Override
        public double heldUntil(Progress progress) {
            return schedule.heldUntil(progress);
        }
    }

    private static double heldAfter(double end, Progress progress) {
        return progress.epochs() >= end ? Double.POSITIVE_INFINITY : progress.epochs();
    }

    private static void requireFinite(String schedule, String name, double value) {
        if (!Double.isFinite(value)) {
            throw new IllegalArgumentException(schedule + ": " + name + " " + value + " must be a finite number");
        }
    }

    private static void requirePositive(String schedule, String name, double value) {
        if (!(value > 0) || Double.isInfinite(value)) {
            throw new IllegalArgumentException(schedule + ": " + name + " " + value + " must be positive and finite");
        }
    }
}
