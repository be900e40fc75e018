/** What `cf-client.test.ts` uses of the npm package cf-client 0.13.26, which has no types of its own. */
declare module 'cf-client' {
  interface Token {
    readonly token_type: string;
    readonly access_token: string;
  }
  class CloudController {
    constructor(endPoint: string);
    getInfo(): Promise<Readonly<Record<string, unknown>>>;
  }
  class UsersUAA {
    constructor(endPoint: string);
    login(username: string, password: string): Promise<Token>;
  }
  class Organizations {
    constructor(endPoint: string);
    setToken(token: Token): void;
    getOrganizations(): Promise<unknown>;
    getOrganization(guid: string): Promise<unknown>;
    addUser(guid: string, userGuid: string): Promise<unknown>;
    removeUser(guid: string, userGuid: string): Promise<unknown>;
  }
  const client: {
    readonly CloudController: typeof CloudController;
    readonly UsersUAA: typeof UsersUAA;
    readonly Organizations: typeof Organizations;
  };
  export default client;
}
