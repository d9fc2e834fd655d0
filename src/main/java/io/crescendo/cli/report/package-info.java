/**
 * Gathers a comparison in one HTML page that needs nothing else: no other file, no network, no script.
 *
 * <p>Decides: what the page shows and in which order. Draws nothing itself.
 *
 * <pre>{@code
 * Report.write(folder, "fashion-mini-quick", runs, figures, plans, config.toYaml());
 * }</pre>
 */
@NullMarked
package io.crescendo.cli.report;

import org.jspecify.annotations.NullMarked;
