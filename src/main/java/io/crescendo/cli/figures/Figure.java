package io.crescendo.cli.figures;

import java.util.List;

/**
 * A drawn figure.
 *
 * @param name of its files, without extension
 * @param caption one sentence
 * @param svg the drawing
 */
public record Figure(String name, String caption, String svg) {
    /** Draws panels side by side; equal input gives an equal drawing. */
    public static Figure of(String name, String caption, List<Panel> panels) {
        return new Figure(name, caption, Drawing.svg(name, panels));
    }
}
