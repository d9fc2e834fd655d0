/**
 * Draws what runs recorded: the paper's Figures 1 to 5 for any comparison.
 *
 * <p>Decides: which curves a figure shows, how they are smoothed, coloured and labelled. Reads recorded runs and never
 * the engine. SVG needs neither a display nor fonts; PNG needs fonts and is left out where there are none.
 *
 * <pre>{@code
 * List<RunLog> runs = RunLog.below(Path.of("runs/fashion-mini-quick"));
 * List<Figure> figures = ComparisonFigures.of(runs);
 * new FigureFiles(Path.of("runs/fashion-mini-quick")).write(figures);
 * }</pre>
 */
@NullMarked
package io.crescendo.cli.figures;

import org.jspecify.annotations.NullMarked;
