package io.crescendo.cli.run;

import io.crescendo.train.TrainingListener;

/** Shows a run while it trains. */
public sealed interface ProgressView extends TrainingListener, AutoCloseable permits BarView, PlainView {
    /** A bar where the output is a terminal, lines elsewhere. */
    static ProgressView of(Screen screen, String label, double epochs) {
        return screen.terminal() ? new BarView(label, epochs) : new PlainView(screen.out(), label, epochs);
    }

    @Override
    void close();
}
