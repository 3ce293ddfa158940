import { existsSync, readFileSync } from 'node:fs';
import { launch } from 'puppeteer-core';

/** Chromium of the distribution, `null` where there is none. */
export const CHROMIUM = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(existsSync) ?? null;

export interface PanelRow {
  method: string;
  url: string;
  status: number;
  connection: string;
  /** s */
  duration: number;
  /** Of the answer's body; in base64 where it is no text. */
  characters: number;
}

/** What the network panel of Chromium's own developer tools makes of a HAR. @throws what the panel says of a file that it cannot read */
export async function networkPanel(file: string, executablePath: string): Promise<PanelRow[]> {
  const args = ['--no-sandbox', '--remote-allow-origins=*', '--remote-debugging-port=0'];
  const browser = await launch({ executablePath, headless: true, args });
  try {
    const { host } = new URL(browser.wsEndpoint());
    // The tools come with the browser; they look at a page that has nothing in it.
    const pages = (await (await fetch(`http://${host}/json/list`)).json()) as { id: string; type: string }[];
    const inspected = pages.find(page => page.type === 'page')!.id;
    const tools = await browser.newPage();
    await tools.goto(`http://${host}/devtools/inspector.html?ws=${host}/devtools/page/${inspected}`);
    await tools.waitForFunction('document.querySelector(".root-view") !== null', { timeout: 20_000 });
    const code = `(async text => {
      const { ViewManager } = await import('./ui/legacy/legacy.js');
      await ViewManager.ViewManager.instance().showView('network');
      const { NetworkPanel } = await import('./panels/network/network.js');
      await NetworkPanel.NetworkPanel.instance().networkLogView.onLoadFromFile(new File([text], 'a.har'));
      const { NetworkLog } = await import('./models/logs/logs.js');
      const rows = [];
      for (const request of NetworkLog.NetworkLog.instance().requests()) {
        const content = await request.requestContentData();
        rows.push({
          method: request.requestMethod,
          url: request.url(),
          status: request.statusCode,
          connection: String(request.connectionId),
          duration: request.duration,
          characters: 'error' in content ? -1 : (content.isTextContent ? content.text : content.base64).length,
        });
      }
      return rows;
    })(${JSON.stringify(readFileSync(file, 'utf8'))})`;
    return (await tools.evaluate(code)) as PanelRow[];
  } finally {
    await browser.close();
  }
}
